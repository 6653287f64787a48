"""Panels on a connection, a lab or a queue: each shows its state, acts on it, and gives the same as code.

Imports the widgets' shared parts in the folder above, `rtlab.patterns` and the journal; a panel never
imports another, but the base classes, and never measures.
"""
