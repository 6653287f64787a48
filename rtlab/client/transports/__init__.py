"""The four transports, each usable alone: bytes in, frames out.

Imports the protocol, the policies and `rtlab.webrtc`. Never another transport, nor anything of the
client above them: a transport can be imported and opened alone.
"""
