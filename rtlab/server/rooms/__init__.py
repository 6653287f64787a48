"""Rooms: offsets, history, and presence.

They import the protocol, the server's frames and refusals, never a socket, a session or an endpoint.
"""
