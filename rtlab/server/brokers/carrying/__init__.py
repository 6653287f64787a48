"""Carries bytes between nodes over a broker: the interfaces, reconnection, send queue, probes and gaps.

It imports `rtlab.errors` and `room_publishing_interface`, never a broker's client library; rooms, epochs and
offsets are unknown here.
"""
