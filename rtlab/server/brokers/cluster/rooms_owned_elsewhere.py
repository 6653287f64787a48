"""The rooms of this node: delivers messages in order, and asks a room's owner for missing ones."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.cluster.cluster_membership import Membership
from rtlab.server.brokers.cluster.node_message_encoding import AskHistory, RoomHandover, Told
from rtlab.server.brokers.cluster.owned_rooms_and_handover import OwnedRooms
from rtlab.server.brokers.cluster.room_sequencer import UNKNOWN_EPOCH
from rtlab.server.brokers.cluster.send_to_nodes import NodeLink, address_of
from rtlab.server.maybe_awaitable_values import Later
from rtlab.server.rooms.room_membership_hub import Hub

__all__ = ["FollowedRooms"]

#: Seconds that a member waits, when it enters a room, for the owner's answer.
_ENTER_TIMEOUT: Final = 3.0
#: Messages of a room that are held while the owner is asked what came before them.
_MAX_HELD: Final = 2000


@dataclass(eq=False)
class _Catching:
    """A question to a room's owner that is not answered yet: messages held, and members that wait."""

    held: list[Message] = field(default_factory=list["Message"])
    waiters: list[asyncio.Future[None]] = field(default_factory=list["asyncio.Future[None]"])


class FollowedRooms:
    """Delivers the owners' messages; on a gap, a new owner or a first member, asks the room's owner.

    Parameters
    ----------
    hub : Hub
        This node's rooms.
    members : Membership
        Knows each room's owner.
    link : NodeLink
        Sends messages to owners.
    owned : OwnedRooms
        The rooms that this node itself owns.

    Attributes
    ----------
    catch_ups : int
        How often an owner was asked.
    """

    def __init__(self, hub: Hub, members: Membership, link: NodeLink, owned: OwnedRooms) -> None:
        self.catch_ups = 0
        self._hub = hub
        self._members = members
        self._link = link
        self._owned = owned
        self._catching: dict[str, _Catching] = {}
        # Room → the owner, and its process, with which this node has last synchronised the room.
        self._agreed: dict[str, tuple[str, str | None]] = {}

    def receive(self, message: Message) -> None:
        """Take a message from a room's owner.

        Parameters
        ----------
        message : Message
            With its room, epoch and offset.
        """
        room_id, epoch, offset = message.room_id, message.epoch, message.offset
        if room_id is None or epoch is None or offset is None:
            return
        self._owned.heard(room_id, epoch)
        self._owned.keep(room_id, epoch)
        catching = self._catching.get(room_id)
        if catching is not None and not self._is_next(room_id, epoch, offset):
            if len(catching.held) < _MAX_HELD:
                catching.held.append(message)
        elif room_id in self._hub:
            self._place(room_id, epoch, offset, message)
        self._owned.came_back(room_id, epoch, offset)

    def _is_next(self, room_id: str, epoch: str, offset: int) -> bool:
        """Return whether a message is a room's next one, so that it need not wait for the owner's answer."""
        room = self._hub.get(room_id)
        return room is not None and (room.epoch, room.offset + 1) == (epoch, offset)

    def _place(self, room_id: str, epoch: str, offset: int, message: Message) -> None:
        """Deliver a message if it is the next one; catch up if messages before it are missing."""
        room = self._hub[room_id]
        newer = epoch > room.epoch
        if epoch < room.epoch or (offset <= room.offset and not newer):
            return  # of a former owner, or delivered already
        if newer and offset == 1:
            self._hub.begin(room_id, epoch, 0)
        elif newer or offset > room.offset + 1:
            self.catch_up(room_id)
            if room_id in self._catching:
                self._catching[room_id].held.append(message)
            return
        self._hub.deliver(room_id, message)

    def head(self, room_id: str, epoch: str, offset: int) -> None:
        """Compare a room with the epoch and offset that its owner announces; catch up if it is behind."""
        self._owned.heard(room_id, epoch)
        if room_id not in self._hub or room_id in self._catching:
            return
        room = self._hub[room_id]
        if epoch > room.epoch and offset == 0:
            self._hub.begin(room_id, epoch, 0)
        elif epoch > room.epoch or (epoch == room.epoch and offset > room.offset):
            self.catch_up(room_id)

    def owners_changed(self) -> None:
        """Synchronise the rooms whose owner has changed with their new owners."""
        for room_id in list(self._hub):
            owner = self._members.owner(room_id)
            if self._owned.hands_over(room_id):
                continue  # synchronised after the handover
            if owner is not None and self._agreed.get(room_id) != (owner, self._members.life(owner)):
                self.catch_up(room_id)

    def forget_agreements(self) -> None:
        """Note that this node was cut off: every room must be synchronised with its owner again."""
        self._agreed.clear()

    def tick(self) -> None:
        """Repeat the questions that were not answered."""
        for room_id in list(self._catching):
            self._ask(room_id)
        for room_id in [room_id for room_id in self._agreed if room_id not in self._hub]:
            del self._agreed[room_id]

    def enter(self, room_id: str, epoch: str | None = None, offset: int | None = None) -> Later[None]:
        """See `Broker.enter`."""
        room = self._hub.get(room_id)
        if room is None:
            if not self._hub.has_place():
                return None  # the entry will be refused
            self.catch_up(room_id)
        elif self._members.owner(room_id) != self._members.me and (epoch or "", offset or 0) > (
            room.epoch,
            room.offset,
        ):
            self.catch_up(room_id)  # another node has delivered to the member what is still on its way here
        catching = self._catching.get(room_id)
        if catching is None:
            return None
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        catching.waiters.append(done)
        timer = loop.call_later(_ENTER_TIMEOUT, _finish, done)
        done.add_done_callback(lambda _: timer.cancel())
        return done

    def catch_up(self, room_id: str) -> None:
        """Ask a room's owner for its epoch, offset and messages; messages that come meanwhile are held."""
        if room_id not in self._catching:
            self.catch_ups += 1
            self._catching[room_id] = _Catching()
            self._ask(room_id)

    def _ask(self, room_id: str) -> None:
        owner = self._members.owner(room_id)
        if owner == self._members.me:
            claim = self._owned.claim(room_id)
            if claim is not None:
                self._owned.keep(room_id, claim.epoch)
                self._caught_up(room_id)
        elif owner is not None and self._members.connected:
            here = self._hub.get(room_id)
            place = (UNKNOWN_EPOCH, 0) if here is None else (here.epoch, here.offset)
            self._link.say(address_of(owner), AskHistory(self._members.me, room_id, *place))

    def told(self, told: Told) -> None:
        """Take an owner's answer."""
        if told.room in self._catching:
            self._take(told)

    def handed_over(self, handover: RoomHandover) -> None:
        """Process the handover of a room's former owner; members that were up to date miss nothing."""
        mine = self._owned.take_over(handover)
        here = self._hub.get(handover.room)
        if here is not None:
            wanted = here.epoch <= handover.epoch
        elif handover.room in self._catching:
            wanted = mine or bool(handover.messages)  # else the new owner may still know more
        else:
            wanted = mine and bool(handover.messages) and self._hub.has_place()
        if wanted:
            self._take(handover)

    def _take(self, told: Told | RoomHandover) -> None:
        room_id = told.room
        self._owned.heard(room_id, told.epoch)
        room = self._hub.get(room_id)
        start = told.offset - len(told.messages)
        if room is None or told.epoch > room.epoch or (told.epoch == room.epoch and start > room.offset):
            if room is None and self._hub.full:
                return
            if room is None:
                self._hub.begin(room_id, told.epoch, told.offset, told.messages)
            else:  # the members have seen none of these: an owner's history holds its own epoch only
                self._hub.begin(room_id, told.epoch, start)
                for message in told.messages:
                    self._hub.deliver(room_id, message)
        elif told.epoch == room.epoch:
            for message in told.messages:
                if message.offset == room.offset + 1:
                    self._hub.deliver(room_id, message)
        self._caught_up(room_id)

    def _caught_up(self, room_id: str) -> None:
        owner = self._members.owner(room_id)
        if owner is not None:
            self._agreed[room_id] = (owner, self._members.life(owner))
        catching = self._catching.pop(room_id, None)
        if catching is None:
            return
        for n, message in enumerate(catching.held):
            self._place(room_id, message.epoch or "", message.offset or 0, message)
            if room_id in self._catching:  # there is another gap
                self._catching[room_id].held += catching.held[n + 1 :]
                break
        for waiter in catching.waiters:
            _finish(waiter)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
