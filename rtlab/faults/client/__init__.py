"""The client with which a notebook controls the fault proxy over its HTTP API.

This package imports the fault scripts, the profiles and the trace. It never imports the proxy
itself, which runs in another process.
"""
