"""What both ends of a data channel share: framing, loopback candidates, the relay's rewriting.

Imports the protocol and aiortc. Never a client's or the server's decisions.
"""
