"""All rooms of one server: who is a member, what is delivered, who is announced. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from rtlab.protocol.messages import Message
from rtlab.server.encoded_frames import Frame, RoomPosition, checked
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.rooms.limits import HubLimits
from rtlab.server.rooms.room import Member, Room

__all__ = ["Hub", "Joined", "Member", "Room"]


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
        What came after the offset that the member named, oldest first. Where that is gone, or
        none was named, the newest message of a room that keeps it.
    place : int
        Where the member stands: its own offset when that was recovered, else just before `missed`.
    member : bool
        Whether it was a member before.
    """

    recovered: bool
    epoch: str
    offset: int
    missed: list[Frame]
    place: int
    member: bool


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
    spent : callable
        Whether this turn of the loop has done its share: announcements can wait.
    new_epoch : callable
        Makes the name of the history of a room that begins here.
    fan_out : FanOut, optional
        Hands messages to members; all at once by default.

    Attributes
    ----------
    check_outgoing : callable or None
        Raises `MessageError` for what no member may be sent; none costs nothing.
    tell_nodes : callable or None
        Told a room's name and its users at this node, when these changed; None for a server
        that stands alone.
    make_place : callable
        Called by `has_place` when all rooms are taken: lets a member go that needs none, and returns
        whether there was one.
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
        # Rooms to announce; True when someone new has not seen the users yet.
        self._changed: dict[Room, bool] = {}
        self._unsettled: dict[Room, None] = {}
        self.published = 0
        self.check_outgoing: Callable[[Message], None] | None = None
        self.tell_nodes: Callable[[str, list[str]], None] | None = None
        self.make_place: Callable[[], bool] = lambda: False

    def __len__(self) -> int:
        return len(self._rooms)

    def __getitem__(self, room_id: str) -> Room:
        return self._rooms[room_id]

    @property
    def full(self) -> bool:
        """Whether a room that does not exist yet cannot be made."""
        return len(self._rooms) >= self._limits.rooms

    def has_place(self) -> bool:
        """Whether another room can be made; rooms in which nothing was ever said make place."""
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

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def get(self, room_id: str) -> Room | None:
        """Return a room, None for one that is not here."""
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
        """Make someone a member; with a place in its history, find what was missed.

        Parameters
        ----------
        member : Member
            Who; joining again is no error.
        room_id : str
            Where. The room is made if it does not exist.
        epoch, offset : str and int, optional
            The last message seen. Without them nothing was missed.
        quietly : bool
            Whether nobody is to be told the users, if it is a member already.

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

    def after(self, room_id: str, epoch: str, offset: int) -> list[Frame] | None:
        """Return what came after a place of a room that exists; None when it is not all there."""
        room = self._rooms[room_id]
        room.history.forget(self._clock() - self._limits.history_age)
        return room.after(epoch, offset)

    def begin(self, room_id: str, epoch: str, offset: int, messages: Iterable[Message] = ()) -> None:
        """Take over a room from another node: make it, or begin another life of it.

        Its members are told at once that they may have missed something.

        Parameters
        ----------
        room_id, epoch : str
            The room, and which of its histories.
        offset : int
            Its last message.
        messages : iterable of Message
            The newest, up to that one, oldest first.
        """
        room = self._rooms.get(room_id) or self._begin(room_id)
        room.restart(epoch, offset + 1)
        now = self._clock()
        for message in messages:
            place = RoomPosition(room_id, epoch, message.offset)
            room.history.append(Frame(checked(message, self.check_outgoing), (place,)), now, self._limits)
        if room.members:
            notice = Message("resync", room_id=room_id, epoch=epoch, offset=offset)
            place = RoomPosition(room_id, epoch, offset)
            self.fan_out.publish(room, Frame(checked(notice, self.check_outgoing), (place,)))

    def elsewhere(self, room_id: str, node: str, users: list[str]) -> None:
        """Note who is in a room at another node."""
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
        return room

    def leave(self, member: Member, room_id: str, *, grace: bool = False) -> None:
        """End a membership; with `grace`, announce it only later."""
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
        """Return the epoch and the offset that a room's next message has, if the hub gives them."""
        room = self._rooms.get(room_id) or self._begin(room_id)
        return room.epoch, room.offset + 1

    def blocker(self, room_id: str) -> Member | None:
        """Return a member for whom publishers to a room have to wait, if there is one."""
        self.fan_out.finish(room_id)  # what was published counts
        room = self._rooms.get(room_id)
        members = () if room is None else room.members
        return next((member for member in members if member.blocks(room_id)), None)

    def deliver(self, room_id: str, message: Message) -> None:
        """Remember a published message, and deliver it to all members.

        Parameters
        ----------
        room_id : str
            A room that is not here any more is no error: nobody missed anything.
        message : Message
            With its ``offset`` and ``epoch``. When these do not continue the room's
            history, the room begins another one, which resuming members notice.
        """
        room = self._rooms.get(room_id)
        epoch, offset = message.epoch, message.offset
        if room is None or epoch is None or offset is None:
            return
        if offset != room.offset + 1 or epoch != room.epoch:
            room.restart(epoch, offset)
        room.offset = offset
        frame = Frame(checked(message, self.check_outgoing), (RoomPosition(room_id, epoch, offset),))
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
                self.fan_out.publish(room, Frame(checked(news, self.check_outgoing)))

    def sweep(self) -> None:
        """Announce those whose grace has ended, and end rooms that nobody needs.

        Only rooms that someone left, or joined, since they were last at rest are
        looked at, so that a thousand quiet rooms cost nothing.
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
