"""Several nodes behind one broker: faults, the messages they lose, and the path of a single message.

Imports labs, their brokers, the fault proxy and the client, but never a model or a figure.
"""
