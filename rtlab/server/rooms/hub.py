"""Rooms: an epoch, a dense offset, a bounded history, and who is there. No I/O."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import msgspec

from rtlab.protocol.messages import Message
from rtlab.server.frames import Frame, Mark

__all__ = ["Hub", "HubLimits", "Joined", "Member", "Room"]


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


class Joined(NamedTuple):
    """What `Hub.join` found.

    Parameters
    ----------
    recovered : bool
        Whether `missed` closes the gap completely.
    epoch : str
        The history that is valid now.
    offset : int
        The room's head now.
    missed : list of Frame
        What came after the offset that the member named, oldest first.
    """

    recovered: bool
    epoch: str
    offset: int
    missed: list[Frame]


class Room:
    """One room. Its offsets are dense within an epoch: 1, 2, 3, …

    Parameters
    ----------
    room_id, epoch : str
        Its name, and the name of this life of it.
    """

    __slots__ = (
        "_history",
        "_history_bytes",
        "_leaving",
        "announced",
        "epoch",
        "members",
        "offset",
        "room_id",
    )

    def __init__(self, room_id: str, epoch: str) -> None:
        self.room_id = room_id
        self.epoch = epoch
        self.offset = 0
        self.members: dict[Member, None] = {}
        self.announced: list[str] = []
        self._history: deque[tuple[float, Frame]] = deque()
        self._history_bytes = 0
        self._leaving: dict[str, float] = {}

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

    def after(self, epoch: str, offset: int) -> list[Frame] | None:
        """Return what came after a place in the history; None when it is not all there."""
        missing = self.offset - offset
        if epoch != self.epoch or not 0 <= missing <= len(self._history):
            return None
        return [self._history[i][1] for i in range(len(self._history) - missing, len(self._history))]

    def linger(self, user: str, until: float) -> None:
        """Count a user as here until a time, although no connection shows it."""
        self._leaving[user] = until

    @property
    def lingering(self) -> bool:
        """Whether someone's grace is running."""
        return bool(self._leaving)

    def users(self, now: float) -> list[str]:
        """Return who is here, in order of arrival: each user once."""
        here = dict.fromkeys(member.user for member in self.members if member.present)
        for user, until in list(self._leaving.items()):
            if user in here or until <= now:
                del self._leaving[user]
        # Those about to leave keep their place until they do.
        seen = [user for user in self.announced if user in here or user in self._leaving]
        return list(dict.fromkeys((*seen, *here, *self._leaving)))

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if the room ended."""
        return not (self.members or self._history or self._leaving)


class Hub:
    """All rooms of one server.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    limits : HubLimits
        Bounds.
    presence_changed : callable
        Called with no argument when `announce` has something to say, perhaps
        again before it is called.
    new_epoch : callable
        Makes the name of a room's history.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limits: HubLimits | None = None,
        *,
        presence_changed: Callable[[], None] = lambda: None,
        new_epoch: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._clock = clock
        self._limits = limits or HubLimits()
        self._presence_changed = presence_changed
        self._new_epoch = new_epoch
        self._rooms: dict[str, Room] = {}
        # Rooms to announce; True when someone new has not seen the users yet.
        self._changed: dict[Room, bool] = {}
        self._unsettled: dict[Room, None] = {}
        self.published = 0

    def __len__(self) -> int:
        return len(self._rooms)

    def __getitem__(self, room_id: str) -> Room:
        return self._rooms[room_id]

    @property
    def full(self) -> bool:
        """Whether a room that does not exist yet cannot be made."""
        return len(self._rooms) >= self._limits.rooms

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def join(
        self, member: Member, room_id: str, epoch: str | None = None, offset: int | None = None
    ) -> Joined:
        """Make someone a member; with a place in its history, find what was missed.

        Parameters
        ----------
        member : Member
            Who; joining again is no error.
        room_id : str
            Where. The room is made if it does not exist.
        epoch, offset : str and int, optional
            The last message seen. Without them nothing was missed.

        Returns
        -------
        Joined
            The caller delivers `missed`.
        """
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = Room(room_id, self._new_epoch())
        room.members[member] = None
        self._touch(room, arrival=True)
        if epoch is None or offset is None:
            return Joined(True, room.epoch, room.offset, [])
        room.forget(self._clock() - self._limits.history_age)
        missed = room.after(epoch, offset)
        return Joined(missed is not None, room.epoch, room.offset, missed or [])

    def leave(self, member: Member, room_id: str, *, grace: bool = False) -> None:
        """End a membership; with `grace`, announce it only later."""
        room = self._rooms.get(room_id)
        if room is None or member not in room.members:
            return
        del room.members[member]
        if grace:
            room.linger(member.user, self._clock() + self._limits.leave_grace)
        self._touch(room)

    def presence(self, member: Member, room_ids: Iterable[str]) -> None:
        """Take note that a member's connection came or went."""
        until = self._clock() + self._limits.leave_grace
        for room_id in room_ids:
            room = self._rooms[room_id]
            if not member.present:
                room.linger(member.user, until)
            self._touch(room)

    def publish(self, room_id: str, message: Message) -> Frame:
        """Give a message its offset, remember it, and deliver it to all members.

        Parameters
        ----------
        room_id : str
            An existing room.
        message : Message
            The hub sets its ``room_id``, ``offset`` and ``epoch``.

        Returns
        -------
        Frame
            The frame that everyone received.
        """
        room = self._rooms[room_id]
        room.offset += 1
        message.room_id, message.epoch, message.offset = room_id, room.epoch, room.offset
        frame = Frame(message, (Mark(room_id, room.epoch, room.offset),))
        self.published += 1
        for member in room.members:
            member.deliver(frame)
        room.append(frame, self._clock(), self._limits)
        return frame

    def _touch(self, room: Room, *, arrival: bool = False) -> None:
        self._changed[room] = arrival or self._changed.get(room, False)
        self._unsettled[room] = None
        self._presence_changed()

    def announce(self) -> None:
        """Send ``users_update`` to every room whose users changed since the last time."""
        now = self._clock()
        changed, self._changed = self._changed, {}
        for room, arrival in changed.items():
            users = room.users(now)
            if users == room.announced and not arrival:
                continue
            room.announced = users
            if len(users) <= self._limits.presence_users:
                frame = Frame(Message("users_update", users, room_id=room.room_id))
                for member in room.members:
                    member.deliver(frame)

    def sweep(self) -> None:
        """Announce those whose grace has ended, and end rooms that nobody needs.

        Only rooms that someone left, or joined, since they were last at rest are
        looked at, so that a thousand quiet rooms cost nothing.
        """
        now = self._clock()
        for room in list(self._unsettled):
            room.forget(now - self._limits.history_age)
            if room.lingering:
                self._changed.setdefault(room, False)
            elif room.idle:
                del self._rooms[room.room_id]
                self._changed.pop(room, None)
                del self._unsettled[room]
            elif room.members:
                del self._unsettled[room]
        if self._changed:
            self.announce()
