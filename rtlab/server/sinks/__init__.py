"""Sinks write frames to connections: one class for each kind of connection.

They import the server's frames, never the node or a handler.
"""
