"""What the server keeps for one client: its numbered stream and backlog, its feeds, and what it has handled.

Imports `rooms`, `sinks`, `auth` and the event loop's parts; never an endpoint, a handler or a broker, and
never a transport: a session outlives its connections.
"""
