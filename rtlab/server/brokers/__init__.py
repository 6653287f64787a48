"""What gives a room's messages their order: the server's own memory, or a broker outside.

Imports the rooms and the protocol. Never a session, a socket of a client, or what a message means.
"""
