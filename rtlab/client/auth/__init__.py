"""A client's access tokens: logging in, refreshing in time, and renewing the proof of an open connection.

Imports the transports' HTTP requests and the protocol; never the connection, which is handed in.
"""
