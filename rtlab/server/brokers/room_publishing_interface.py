"""The interface that rooms publish through."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from rtlab.errors import RtlabError
from rtlab.protocol.message_format import Message
from rtlab.server.latency_histogram_buckets import Histogram
from rtlab.server.maybe_awaitable_values import Later

__all__ = ["Broker", "BrokerFailed", "Published"]


class Published(NamedTuple):
    """A published message's place in its room.

    Parameters
    ----------
    epoch : str
        The room's epoch, in which `offset` counts.
    offset : int
        The message's number in that epoch: 1, 2, 3, …
    """

    epoch: str
    offset: int


class BrokerFailed(RtlabError):
    """A message was not published, or it is unknown whether it was; the text goes to its sender."""


class Broker(Protocol):
    """Gives each message of a room its epoch and offset, and passes it to `Hub.deliver` on every node.

    The server publishes a sender's next message only after the one before was answered,
    so a broker has to keep the order within each room only.
    """

    @property
    def trips(self) -> Histogram | None:
        """Round-trip times to the broker, in seconds; None for a server without an external broker."""
        ...

    def publish(self, room_id: str, message: Message) -> Later[Published]:
        """Publish a message to a room.

        Parameters
        ----------
        room_id : str
            The room.
        message : Message
            The message, which the broker may change; ``room_id``, ``offset`` and ``epoch`` are not set yet.

        Returns
        -------
        Published or Future of Published
            The place, which the sender's ``ack`` reports; a future if it is not known at
            once. The caller gives a future up that takes too long.

        Raises
        ------
        BrokerFailed
            At once, or from the future.
        """
        ...

    def report(self) -> dict[str, Any] | None:
        """Return what ``/stats`` shows of the cluster; None for a server without an external broker."""
        ...

    def enter(self, room_id: str, epoch: str | None = None, offset: int | None = None) -> Later[None]:
        """Prepare a room for a member: afterwards this node knows the room's epoch and offset.

        Parameters
        ----------
        room_id : str
            The room.
        epoch, offset : str and int, optional
            How far the member has read already, perhaps at another node; this node catches up with it.

        Returns
        -------
        None or Future of None
            None if the room is known here already, up to that place. The future never fails: if the
            room's owner does not answer in time, the room begins with an unknown epoch, and members get
            a ``resync`` later.
        """
        ...
