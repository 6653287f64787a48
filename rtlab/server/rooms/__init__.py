"""Rooms: offsets, history, and who is there.

Imports the protocol and the server's frames. Never a socket, a session or an endpoint.
"""
