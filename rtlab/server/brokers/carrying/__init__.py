"""Bytes from node to node over one link: the contract, reconnecting, what waits, probes and gaps.

Imports the protocol only. Never a kind of broker's client, and never a room, an epoch or an offset.
"""
