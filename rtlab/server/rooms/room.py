"""One room: its members, its epoch and dense offsets, and its history. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.maybe_awaitable_values import Later
from rtlab.server.rooms.history import History
from rtlab.server.rooms.users_in_room import Presence

__all__ = ["Member", "Room"]

T = TypeVar("T")


class Member(Protocol):
    """A session, as a room sees it. Delivering never raises and never blocks."""

    user: str
    rooms: dict[str, None]

    @property
    def present(self) -> bool: ...

    def deliver(self, frame: EncodedFrame) -> None: ...

    def deliver_burst(self, burst: Burst, had: int | None) -> None: ...

    def blocks(self, room_id: str) -> bool: ...

    def when_changed(self, action: Callable[[], Later[T]]) -> asyncio.Future[T]: ...


class Room:
    """One room. Its offsets are dense within an epoch: 1, 2, 3, …

    Parameters
    ----------
    room_id, epoch : str
        The room's name, and its first epoch.
    keeps_newest : bool
        Whether the newest message is kept longer than the history, for new members.

    Attributes
    ----------
    cached : tuple of float and EncodedFrame, or None
        When the newest message was published, and the message, if `keeps_newest`.
    """

    __slots__ = ("cached", "epoch", "history", "keeps_newest", "members", "offset", "presence", "room_id")

    def __init__(self, room_id: str, epoch: str, *, keeps_newest: bool = False) -> None:
        self.room_id = room_id
        self.epoch = epoch
        self.offset = 0
        self.members: dict[Member, None] = {}
        self.presence = Presence()
        self.history = History()
        self.keeps_newest = keeps_newest
        self.cached: tuple[float, EncodedFrame] | None = None

    def restart(self, epoch: str, offset: int) -> None:
        """Begin another epoch without history; the message with this offset comes next."""
        self.epoch = epoch
        self.offset = offset - 1
        self.history = History()

    def after(self, epoch: str, offset: int) -> list[EncodedFrame] | None:
        """Return the messages after a place in the history; None if some of them are lost."""
        missing = self.offset - offset
        if epoch != self.epoch or not 0 <= missing <= len(self.history):
            return None
        return self.history.newest(missing)

    def newest(self) -> list[EncodedFrame]:
        """Return what a member gets that enters without a history: the newest message, if it is kept."""
        return [] if self.cached is None else [self.cached[1]]

    def users(self, now: float) -> list[str]:
        """Return the room's users on all nodes, in order of arrival, each once."""
        return self.presence.users((member.user for member in self.members if member.present), now)

    @property
    def unused(self) -> bool:
        """Whether the room has no members, and nothing was ever published in it."""
        return not (self.members or self.offset or self.cached)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if the room ended."""
        return not (self.members or self.history or self.presence.lingering or self.cached)
