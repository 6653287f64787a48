"""Whole parts of rtlab without a socket, for mocks to talk to: server, fault proxy, transport, a bad network.

May import the mocks, and the parts of server and fault proxy that do no I/O; never a real socket or process.
"""
