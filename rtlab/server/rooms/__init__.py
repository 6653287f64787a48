"""Rooms: offsets, history, fan-out, presence and when it is announced.

They import the protocol, the server's frames, refusals and the loop's turns; never a socket, a session or an
endpoint.
"""
