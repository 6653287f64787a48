"""What happened on a connection, in order: recorded from the wire or loaded from any run, and played again.

May import the client, the recorder and its files; never a mock, a proxy or a lab.
"""
