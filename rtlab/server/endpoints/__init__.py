"""The server's HTTP routes, one module for each transport.

They import the node and the sinks. Rules about messages are elsewhere, because they hold for all transports.
"""
