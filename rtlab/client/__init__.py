"""One connection over any transport: the runner of its state machine, dispatch, events and options.

It imports the protocol, the policies and `rtlab.webrtc`, but never the server, the fault proxy or a lab.
"""
