"""Herds of clients that lost their server: simulated with the real policies, and with real
connections.

Imports the policies and the client. Never a model: `rtlab.models.reconnect` has the formulas to
compare with.
"""
