"""Decisions without I/O: backoff, heartbeat, circuit breaker, token bucket, and the connection's state
machine.

This package imports only the standard library, numpy and msgspec. It never uses a socket, a task or a
clock of its own: the time is an argument.
"""
