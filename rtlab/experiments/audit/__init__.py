"""A security audit: what a client without credentials can do to a server, as a table of findings.

It may import the bare socket of `endpoint` and the cases of `websocket_conformance`, but never a lab.
"""
