"""Herds of clients that reconnect after an outage, simulated with the real backoff policies or measured
with real connections.

Imports the policies and the client, but never `rtlab.models.reconnect_load`, whose formulas the results are
compared with.
"""
