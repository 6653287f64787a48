"""The broker of a server without an external broker: it publishes to the server's own rooms."""

from __future__ import annotations

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.room_publishing_interface import Published
from rtlab.server.rooms.room_membership_hub import Hub

__all__ = ["SingleNodeBroker"]


class SingleNodeBroker:
    """Publishes at once, because this server itself numbers the messages of its rooms.

    Parameters
    ----------
    hub : Hub
        The server's rooms.
    """

    __slots__ = ("_hub",)

    trips = None

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def publish(self, room_id: str, message: Message) -> Published:
        """See `Broker.publish`."""
        epoch, offset = self._hub.next_place(room_id)
        message.room_id, message.epoch, message.offset = room_id, epoch, offset
        self._hub.deliver(room_id, message)
        return Published(epoch, offset)

    def report(self) -> None:
        """See `Broker.report`."""

    def enter(self, room_id: str, epoch: str | None = None, offset: int | None = None) -> None:
        """See `Broker.enter`."""
