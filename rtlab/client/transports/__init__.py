"""The four transports, each usable alone: bytes in, frames out.

Imports the protocol, the policies and the parts of `rtlab.client` below the connection. Never
another transport.
"""
