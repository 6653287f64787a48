"""The four transports, each of which can be imported and used alone.

This package imports the protocol, the policies and `rtlab.webrtc`. A transport never imports another
transport, nor any other part of the client.
"""
