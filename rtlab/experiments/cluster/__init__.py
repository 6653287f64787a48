"""Several nodes behind one broker: what breaks them, what is lost then, and one message's way through.

Imports labs, their brokers, the fault proxy and the client. Never a model, and never draws.
"""
