"""Carries bytes between nodes over a broker: the interfaces, reconnection, send queue, probes and gaps.

It imports no broker's client library, and knows nothing of rooms, epochs and offsets.
"""
