"""What rooms publish through."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from rtlab.errors import RtlabError
from rtlab.protocol.messages import Message
from rtlab.server.histogram import Histogram
from rtlab.server.ordered_answers import Later

__all__ = ["Broker", "BrokerFailed", "Published"]


class Published(NamedTuple):
    """Where a message stands in its room.

    Parameters
    ----------
    epoch : str
        Which history of the room.
    offset : int
        Its number there: dense, from 1.
    """

    epoch: str
    offset: int


class BrokerFailed(RtlabError):
    """A message was not published, or nobody can say whether it was; the text goes to its sender."""


class Broker(Protocol):
    """Gives each message of a room its place, and hands it to `Hub.deliver` of every node.

    The server asks for one sender's next message only when the one before has its
    answer, so a broker has to keep no order but that of its rooms.
    """

    @property
    def trips(self) -> Histogram | None:
        """How long something published takes until it comes back; None for a server that stands alone."""
        ...

    def publish(self, room_id: str, message: Message) -> Later[Published]:
        """Publish a message to a room.

        Parameters
        ----------
        room_id : str
            The room.
        message : Message
            It becomes the broker's; ``room_id``, ``offset`` and ``epoch`` are not set yet.

        Returns
        -------
        Published or Future of Published
            What the sender's ``ack`` says. At once, if it can be; a future that takes
            too long counts as failed.

        Raises
        ------
        BrokerFailed
            At once, or from the future.
        """
        ...

    def report(self) -> dict[str, Any] | None:
        """Return what ``/stats`` says of other nodes; None for a server that stands alone."""
        ...

    def enter(self, room_id: str) -> Later[None]:
        """Make a room ready for a member: its place in the history is known here afterwards.

        Parameters
        ----------
        room_id : str
            The room.

        Returns
        -------
        None or Future of None
            At once, if the room is here. The future never fails: a room whose place does not
            become known in time begins at an unknown one, and its members are told later.
        """
        ...
