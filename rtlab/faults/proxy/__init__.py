"""The proxy: listeners, tunnels, and the pipes through which bytes pass the toxics.

Imports the toxics' interface and the trace. Never the API that drives it.
"""
