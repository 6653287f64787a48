"""Authentication and authorisation: tokens, tickets, users and rights; in memory, with hashed secrets.

It imports policies and errors, never a session, a room, a transport or an endpoint.
"""
