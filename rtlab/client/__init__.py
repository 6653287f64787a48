"""One connection over any transport: its runner, dispatch, events and options.

It imports the protocol, the policies and `rtlab.webrtc`, but never the server, the fault proxy or a lab.
"""
