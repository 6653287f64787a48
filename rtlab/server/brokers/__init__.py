"""Brokers give a room's messages their order: the server's own memory, or an external broker.

`room_publishing_interface` is what rooms publish through, and `carrier_by_broker_url` maps a URL to a broker.
`cluster` lets nodes share rooms, `carrying` holds the link to a broker of any kind, and `drivers` has one
module per kind. It imports the rooms and the protocol, never a session, a client's socket or a handler.
"""
