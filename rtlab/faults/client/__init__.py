"""The fault proxy as a notebook drives it, over its HTTP API.

Imports the fault scripts, profiles and the trace. Never the proxy itself, which runs in another
process.
"""
