"""rtlab without a socket: server and fault proxy behind a mock, a bad network, a transport for one test.

May import the mocks, and the parts of server and fault proxy that do no I/O; never a real socket or process.
"""
