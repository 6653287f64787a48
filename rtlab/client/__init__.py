"""One connection over any transport: its driver, inbox, events and options.

Imports the protocol, the policies and `rtlab.webrtc`. Never the server, the fault proxy or a lab.
"""
