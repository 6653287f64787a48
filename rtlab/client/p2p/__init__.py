"""Two clients without a server between them: signalling, a call, and its sound.

Imports the protocol and `rtlab.webrtc`. Never a client-server transport.
"""
