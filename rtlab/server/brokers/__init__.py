"""What gives a room's messages their order: the server's own memory, or a broker outside.

`base` says what rooms publish through, `carrier_for` which broker a URL means; the rooms below are the
nodes among each other (`cluster`), the link to any broker (`carrying`), and each kind of broker (`drivers`).
Imports the rooms and the protocol. Never a session, a socket of a client, or what a message means.
"""
