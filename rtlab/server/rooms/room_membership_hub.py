"""All rooms of one server: membership, delivery, and presence. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import EncodedFrame, RoomPosition, sendable
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.rooms.room import Member, Room
from rtlab.server.rooms.room_limits import HubLimits

__all__ = ["Hub", "Joined", "Member", "Room"]


class Joined(NamedTuple):
    """What `Hub.join` found.

    Parameters
    ----------
    recovered : bool
        Whether `missed` closes the gap completely.
    epoch : str
        The room's present epoch.
    offset : int
        Offset of the room's newest message.
    missed : list of EncodedFrame
        The messages after the offset that the member named, oldest first. If these are lost, or it
        named no offset, the newest message of a room that keeps it (`Room.keeps_newest`).
    place : int
        The offset from which the member continues: the one that it named if the messages after it
        are all there, else the one just before `missed`.
    member : bool
        Whether it was a member before.
    """

    recovered: bool
    epoch: str
    offset: int
    missed: list[EncodedFrame]
    place: int
    member: bool


class Hub:
    """All rooms of one server.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    limits : HubLimits
        Limits of rooms and histories.
    presence_changed : callable
        Called without arguments when presence has changed and `announce` is to be called;
        perhaps several times before that.
    spent : callable
        Returns whether this turn of the loop has used up its slice: then announcements wait.
    new_epoch : callable
        Returns the epoch of a room that begins on this node.
    fan_out : FanOut, optional
        Delivers messages to members; by default at once.

    Attributes
    ----------
    check_outgoing : callable or None
        Raises `MessageError` for a message that must not be sent; None sends all unchecked.
    tell_nodes : callable or None
        Called with a room's name and its users on this node when these have changed; None for a
        server without an external broker.
    ask_nodes : callable or None
        Called with a room's name when the room begins on this node, which does not know its users on the
        others; they call `elsewhere`. None for a server without an external broker.
    make_place : callable
        Called by `has_place` when the limit of rooms is reached: ends a session that was never used,
        and returns whether there was one.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limits: HubLimits | None = None,
        *,
        presence_changed: Callable[[], None] = lambda: None,
        spent: Callable[[], bool] = lambda: False,
        new_epoch: Callable[[], str] = lambda: secrets.token_hex(4),
        fan_out: FanOut | None = None,
    ) -> None:
        self.fan_out = fan_out or FanOut()
        self._clock = clock
        self._limits = limits or HubLimits()
        self._presence_changed = presence_changed
        self._spent = spent
        self.new_epoch = new_epoch
        self._rooms: dict[str, Room] = {}
        # Rooms whose users are to be announced; True if a new member has not got the list yet.
        self._changed: dict[Room, bool] = {}
        self._unsettled: dict[Room, None] = {}
        self.published = 0
        self.check_outgoing: Callable[[Message], None] | None = None
        self.tell_nodes: Callable[[str, list[str]], None] | None = None
        self.ask_nodes: Callable[[str], None] | None = None
        self.make_place: Callable[[], bool] = lambda: False

    def __len__(self) -> int:
        return len(self._rooms)

    def __getitem__(self, room_id: str) -> Room:
        return self._rooms[room_id]

    @property
    def full(self) -> bool:
        """Whether the limit of rooms is reached."""
        return len(self._rooms) >= self._limits.rooms

    def has_place(self) -> bool:
        """Whether another room can be created; empty rooms without any message are ended if need be."""
        while self.full:
            room = next((room for room in self._unsettled if room.unused), None)
            if room is not None:
                self._end(room)
            elif not self.make_place():
                return False
        return True

    def _end(self, room: Room) -> None:
        del self._rooms[room.room_id]
        self._changed.pop(room, None)
        self._unsettled.pop(room, None)
        if self.tell_nodes is not None and room.presence.told:  # its last user has just left
            self.tell_nodes(room.room_id, [])

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def get(self, room_id: str) -> Room | None:
        """Return a room; None if it does not exist on this node."""
        return self._rooms.get(room_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rooms)

    def join(
        self,
        member: Member,
        room_id: str,
        epoch: str | None = None,
        offset: int | None = None,
        *,
        quietly: bool = False,
    ) -> Joined:
        """Add a member to a room; if it names the last message that it has seen, find those after it.

        Parameters
        ----------
        member : Member
            The member; joining again is no error.
        room_id : str
            The room, which is created if it does not exist.
        epoch, offset : str and int, optional
            Place of the last message that the member has seen. Without it, nothing counts as missed.
        quietly : bool
            Whether the list of users is not sent if it is a member already.

        Returns
        -------
        Joined
            The caller delivers `missed`.
        """
        room = self._rooms.get(room_id) or self._begin(room_id)
        again = member in room.members
        if again:
            self.fan_out.catch_up(member)
        else:
            self.fan_out.enter(member, room_id)
        room.members[member] = None
        if not (again and quietly):
            self._touch(room, arrival=True)
        recovered = epoch is None or offset is None  # nothing was missed
        if epoch is not None and offset is not None:
            missed = self.after(room_id, epoch, offset)
            if missed is not None:
                return Joined(True, room.epoch, room.offset, missed, offset, again)
        newest = room.newest()
        return Joined(recovered, room.epoch, room.offset, newest, room.offset - len(newest), again)

    def after(self, room_id: str, epoch: str, offset: int) -> list[EncodedFrame] | None:
        """Return the messages after a place of an existing room; None if some of them are lost."""
        room = self._rooms[room_id]
        room.history.forget(self._clock() - self._limits.history_age)
        return room.after(epoch, offset)

    def begin(self, room_id: str, epoch: str, offset: int, messages: Iterable[Message] = ()) -> None:
        """Adopt an epoch of a room from its owner node; create the room if it does not exist.

        Its members are told at once (``resync``) that they may have missed something.

        Parameters
        ----------
        room_id, epoch : str
            The room, and its new epoch.
        offset : int
            Offset of its last message.
        messages : iterable of Message
            The newest messages up to that offset, oldest first.
        """
        room = self._rooms.get(room_id) or self._begin(room_id)
        room.restart(epoch, offset + 1)
        now = self._clock()
        for message in messages:
            place = RoomPosition(room_id, epoch, message.offset)
            room.history.append(
                EncodedFrame(sendable(message, self.check_outgoing), (place,)), now, self._limits
            )
        if room.members:
            notice = Message("resync", room_id=room_id, epoch=epoch, offset=offset)
            place = RoomPosition(room_id, epoch, offset)
            self.fan_out.publish(room, EncodedFrame(sendable(notice, self.check_outgoing), (place,)))

    def elsewhere(self, room_id: str, node: str, users: list[str]) -> None:
        """Note a room's users on another node, and announce them."""
        room = self._rooms.get(room_id)
        if room is None or room.presence.elsewhere.get(node, []) == users:
            return
        if users:
            room.presence.elsewhere[node] = users
        else:
            del room.presence.elsewhere[node]
        self._touch(room)

    def without_node(self, node: str) -> None:
        """Note that a node is gone: nobody is in a room there."""
        for room_id in self._rooms:
            self.elsewhere(room_id, node, [])

    def _begin(self, room_id: str) -> Room:
        prefix = self._limits.cache_rooms
        keeps_newest = prefix is not None and room_id.startswith(prefix)
        room = self._rooms[room_id] = Room(room_id, self.new_epoch(), keeps_newest=keeps_newest)
        self._unsettled[room] = None
        if self.ask_nodes is not None:
            self.ask_nodes(room_id)
        return room

    def leave(self, member: Member, room_id: str, *, grace: bool = False) -> None:
        """Remove a member from a room; with `grace`, announce it only after the grace period."""
        room = self._rooms.get(room_id)
        if room is None or member not in room.members:
            return
        self.fan_out.leave(member, room_id)
        del room.members[member]
        if grace:
            room.presence.linger(member.user, self._clock() + self._limits.leave_grace)
        self._touch(room)

    def presence(self, member: Member, room_ids: Iterable[str]) -> None:
        """Take note that a member's connection came or went."""
        until = self._clock() + self._limits.leave_grace
        for room_id in room_ids:
            room = self._rooms[room_id]
            if not member.present:
                room.presence.linger(member.user, until)
            self._touch(room)

    def next_place(self, room_id: str) -> tuple[str, int]:
        """Return the epoch and offset of a room's next message, for a server that numbers its own rooms."""
        room = self._rooms.get(room_id) or self._begin(room_id)
        return room.epoch, room.offset + 1

    def blocker(self, room_id: str) -> Member | None:
        """Return a member for which publishers to a room have to wait, if there is one."""
        self.fan_out.finish(room_id)  # so that messages published before count
        room = self._rooms.get(room_id)
        members = () if room is None else room.members
        return next((member for member in members if member.blocks(room_id)), None)

    def deliver(self, room_id: str, message: Message) -> None:
        """Add a published message to the room's history, and deliver it to all members.

        Parameters
        ----------
        room_id : str
            The room. One that no longer exists is no error: it has no members.
        message : Message
            The message, with its ``offset`` and ``epoch``. If these do not continue the room's
            history, the history begins anew, which resuming members notice.
        """
        room = self._rooms.get(room_id)
        epoch, offset = message.epoch, message.offset
        if room is None or epoch is None or offset is None:
            return
        if offset != room.offset + 1 or epoch != room.epoch:
            room.restart(epoch, offset)
        room.offset = offset
        frame = EncodedFrame(sendable(message, self.check_outgoing), (RoomPosition(room_id, epoch, offset),))
        self.published += 1
        now = self._clock()
        room.history.append(frame, now, self._limits)
        if room.keeps_newest:
            room.cached = (now, frame)
        self.fan_out.publish(room, frame)

    def _touch(self, room: Room, *, arrival: bool = False) -> None:
        self._changed[room] = arrival or self._changed.get(room, False)
        self._unsettled[room] = None
        self._presence_changed()

    def announce(self) -> None:
        """Send ``users_update`` to every room whose users changed since the last time."""
        now = self._clock()
        changed, self._changed = self._changed, {}
        first = True  # at least one, also on a server that is always busy
        while changed:
            if not first and self._spent():
                # The rest follows in a moment.
                self._changed = changed | self._changed
                self._presence_changed()
                return
            first = False
            room = next(iter(changed))
            arrival = changed.pop(room)
            users = room.users(now)
            if self.tell_nodes is not None and room.presence.here != room.presence.told:
                room.presence.told = room.presence.here
                self.tell_nodes(room.room_id, room.presence.here)
            if users == room.presence.announced and not arrival:
                continue
            room.presence.announced = users
            if len(users) <= self._limits.presence_users:
                news = Message("users_update", users, room_id=room.room_id)
                self.fan_out.publish(room, EncodedFrame(sendable(news, self.check_outgoing)))

    def sweep(self) -> None:
        """Announce users whose grace period has ended, and end idle rooms.

        Only rooms that someone has left or joined since the last sweep found nothing to do are
        examined, so that a thousand quiet rooms cost nothing.
        """
        now = self._clock()
        for room in list(self._unsettled):
            room.history.forget(now - self._limits.history_age)
            if room.cached is not None and room.cached[0] < now - self._limits.cache_age and not room.members:
                room.cached = None
            if room.presence.lingering:
                self._changed.setdefault(room, False)
            elif room.idle:
                self._end(room)
            elif room.members:
                del self._unsettled[room]
        if self._changed:
            self.announce()
