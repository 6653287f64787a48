"""One room: its members, its epoch, and a bounded history with dense offsets. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import msgspec

from rtlab.server.frames import Frame
from rtlab.server.rooms.presence import Presence

__all__ = ["HubLimits", "Member", "Room"]


class Member(Protocol):
    """What a room needs of a session. `deliver` never raises and never blocks."""

    user: str

    @property
    def present(self) -> bool: ...

    def deliver(self, frame: Frame) -> None: ...


class HubLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the hub keeps.

    Parameters
    ----------
    history_messages, history_bytes : int
        The longest history of a room.
    history_age : float
        Seconds after which a message leaves the history, and an empty room ends.
    leave_grace : float
        Seconds between a lost connection and the announcement that its user left.
    rooms : int
        How many rooms may exist.
    presence_users : int
        Rooms with more users do not announce them: each arrival would cost a
        list of all, sent to all.
    """

    history_messages: int = 1000
    history_bytes: int = 512 * 1024
    history_age: float = 60.0
    leave_grace: float = 2.0
    rooms: int = 10_000
    presence_users: int = 200


class Room:
    """One room. Its offsets are dense within an epoch: 1, 2, 3, …

    Parameters
    ----------
    room_id, epoch : str
        Its name, and the name of this life of it.
    """

    __slots__ = ("_history", "_history_bytes", "epoch", "members", "offset", "presence", "room_id")

    def __init__(self, room_id: str, epoch: str) -> None:
        self.room_id = room_id
        self.epoch = epoch
        self.offset = 0
        self.members: dict[Member, None] = {}
        self.presence = Presence()
        self._history: deque[tuple[float, Frame]] = deque()
        self._history_bytes = 0

    def append(self, frame: Frame, now: float, limits: HubLimits) -> None:
        """Add the frame of the present offset to the history."""
        self._history.append((now, frame))
        self._history_bytes += frame.size_bytes
        while len(self._history) > limits.history_messages or self._history_bytes > limits.history_bytes:
            self._pop()
        self.forget(now - limits.history_age)

    def forget(self, before: float) -> None:
        """Drop what was published before a time."""
        while self._history and self._history[0][0] < before:
            self._pop()

    def _pop(self) -> None:
        self._history_bytes -= self._history.popleft()[1].size_bytes

    def restart(self, epoch: str, offset: int) -> None:
        """Begin another history: the message with this offset comes next."""
        self.epoch = epoch
        self.offset = offset - 1
        self._history.clear()
        self._history_bytes = 0

    def after(self, epoch: str, offset: int) -> list[Frame] | None:
        """Return what came after a place in the history; None when it is not all there."""
        missing = self.offset - offset
        if epoch != self.epoch or not 0 <= missing <= len(self._history):
            return None
        return [self._history[i][1] for i in range(len(self._history) - missing, len(self._history))]

    def users(self, now: float) -> list[str]:
        """Return who is here, in order of arrival: each user once."""
        return self.presence.users((member.user for member in self.members if member.present), now)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if the room ended."""
        return not (self.members or self._history or self.presence.lingering)
