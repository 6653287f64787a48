"""Rooms: offsets, history, and who is there.

Imports the protocol, the server's frames and refusals. Never a socket, a session or an endpoint.
"""
