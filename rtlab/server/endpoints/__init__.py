"""The server's HTTP routes, one module for each transport.

They import the node and the sinks. Rules about messages are never in here, because they hold for
all transports.
"""
