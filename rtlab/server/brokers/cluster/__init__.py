"""Nodes that share rooms: who lives, who owns a room, and how messages get their number from the owner.

Imports `carrying`, the hub and the protocol. Never a kind of broker: any carrier will do.
"""
