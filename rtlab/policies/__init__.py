"""Decisions without I/O: backoff, heartbeat, circuit breaker, token bucket, and the connection's state
machine.

Imports only the standard library, numpy and `rtlab.errors`. Never a socket, a task, or a clock of
its own: the time is an argument.
"""
