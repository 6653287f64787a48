"""The server's one thread: what a turn of its loop may do and took, timers, garbage collection, handshakes.

Imports `now_or_later` and `duration_histogram` of the server; never a session, a room or the node.
"""
