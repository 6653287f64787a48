"""The server's routes, one module for each transport.

Imports the node and the sinks. Never a rule about messages: those hold for all transports.
"""
