"""The code that both ends of a data channel share: framing, loopback candidates, rewriting for a relay.

This package imports the protocol and aiortc. It never makes decisions of a client or of the server.
"""
