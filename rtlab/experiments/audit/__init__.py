"""What a stranger can find out about a server without credentials, as a table of findings.

It may import the bare socket of `endpoint` and the tables of `websocket_conformance`; it never imports a lab.
"""
