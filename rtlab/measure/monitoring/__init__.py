"""What servers count, read from their pages: histories, expressions over them, alerts, a message's way.

Imports the lab's errors and Prometheus' parser. Never starts a lab, never draws, and never judges by
a model: a rule is what its author wrote.
"""
