"""Nodes that share rooms: which nodes live, which node owns a room, and how owners number messages.

It imports `carrying`, the hub and the protocol, never a kind of broker: it works with any carrier.
"""
