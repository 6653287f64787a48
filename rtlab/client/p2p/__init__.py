"""Calls between two clients without a server in the path: signalling, messages and sound.

This package imports the protocol and `rtlab.webrtc`, and never a client-server transport.
"""
