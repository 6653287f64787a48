"""The broker of a server that stands alone: its own rooms."""

from __future__ import annotations

from rtlab.protocol.messages import Message
from rtlab.server.brokers.base import Published
from rtlab.server.rooms.hub import Hub

__all__ = ["MemoryBroker"]


class MemoryBroker:
    """Answers at once: a room's next number is known here.

    Parameters
    ----------
    hub : Hub
        Whose rooms are published to.
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

    def enter(self, room_id: str) -> None:
        """See `Broker.enter`."""
