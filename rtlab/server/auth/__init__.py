"""Who a client is and what it may do: tokens, tickets, users and rights, kept in memory, secrets hashed.

Imports policies and errors. Never a session, a room, a transport or an endpoint.
"""
