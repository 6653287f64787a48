"""The rooms that this node owns: it numbers their messages, and sends them to all nodes.

When a node joins or leaves in order, the owner of some rooms changes while both nodes live. The former
owner hands over a room's epoch and offset, and the new owner continues there (`RoomHandover`). Before it
claims other rooms, it waits until every other node has handed over what it had to (`Handed`). Only a node
that takes a room over from a dead owner begins a new epoch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.cluster.cluster_membership import Membership
from rtlab.server.brokers.cluster.node_message_encoding import AskHistory, Handed, Out, RoomHandover, Told
from rtlab.server.brokers.cluster.room_sequencer import PublishCallback, RoomSequencer, new_epoch, term_of
from rtlab.server.brokers.cluster.send_to_nodes import ALL, NodeLink
from rtlab.server.brokers.room_publishing_interface import BrokerFailed
from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.rooms.room_membership_hub import Hub

__all__ = ["OwnedRooms"]

#: Heartbeats that repeat a room's head (its epoch and offset) after something was published there.
_HEAD_BEATS: Final = 5
#: Rooms that a node claims at most; for one more it gives up the oldest, which then gets a new epoch.
_MAX_CLAIMS: Final = 20_000
#: Bytes of a room's history in one answer: brokers take about a million in one message.
_TOLD_BYTES: Final = 256 * 1024
#: Bytes of history sent with the rooms of one handover; beyond, rooms are handed over without history.
_HANDOVER_BYTES: Final = 8 * 1024 * 1024
#: Seconds that a new owner waits for the handovers of former owners.
_HANDOVER_TIMEOUT: Final = 1.0


class OwnedRooms:
    """The rooms that this node claims. A claim is for one epoch; news of a later epoch ends it.

    Parameters
    ----------
    hub : Hub
        This node's rooms.
    members : Membership
        Knows which rooms this node owns.
    link : NodeLink
        Sends messages to all nodes.
    announce : callable
        Called with the name of a room whose new epoch is to be announced to all nodes.
    reclaim : callable
        Called with the name of a room whose claim had to be given up, to begin a new epoch.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    takeovers : int
        Epochs that this node began.
    lapses : int
        How often this node gave up all rooms because no heartbeat of its own came back within a lease.
    """

    def __init__(
        self,
        hub: Hub,
        members: Membership,
        link: NodeLink,
        announce: Callable[[str], None],
        reclaim: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.takeovers = self.lapses = 0
        self._hub = hub
        self._members = members
        self._link = link
        self._announce = announce
        self._reclaim = reclaim
        self._claims: dict[str, RoomSequencer] = {}
        # Claims of rooms that another node owns now; some of their messages have not come back yet.
        self._former: dict[str, RoomSequencer] = {}
        # Room → with how many of the next heartbeats its head is sent.
        self._news: dict[str, int] = {}
        self._led = False
        self._clock = clock
        # Node that may hand over rooms to this one → until when this one waits for it.
        self._expected: dict[str, float] = {}
        # Whether `Handed` is due once all is handed over; whether this node stops.
        self._handing = self._stops = False

    @property
    def waiting(self) -> int:
        """Published messages that have not come back from the carrier yet."""
        return sum(claim.waiting for claims in (self._claims, self._former) for claim in claims.values())

    def check_lease(self) -> bool:
        """Return whether this node may act as an owner; give up all rooms when it may not any more."""
        leads = self._members.leads
        if self._led and not leads:
            self.lapses += 1
            self.surrender("this node was cut off from the others")
        self._led = leads
        return leads

    def surrender(self, reason: str) -> None:
        """Give up all rooms."""
        given_up = [*self._claims.values(), *self._former.values()]
        self._claims, self._former, self._news = {}, {}, {}
        for claim in given_up:
            claim.give_up(reason)

    def claim(self, room_id: str) -> RoomSequencer | None:
        """Return this node's claim of a room, a new one if need be.

        Returns
        -------
        RoomSequencer or None
            None if another node is the owner, or this one must not act as an owner, has no place for the
            room, or still waits for handovers.
        """
        if self._stops or self._members.owner(room_id) != self._members.me or not self.check_lease():
            return None
        claim = self._claims.get(room_id)
        if claim is not None or (room_id not in self._hub and not self._hub.has_place()):
            return claim
        if self._expecting():
            return None
        self._members.term += 1
        self.takeovers += 1
        claim = self._claims[room_id] = RoomSequencer(new_epoch(self._members.term))
        self._hub.begin(room_id, claim.epoch, 0)
        self._news[room_id] = _HEAD_BEATS
        self._announce(room_id)
        while len(self._claims) > _MAX_CLAIMS:
            self._claims.pop(next(iter(self._claims))).give_up("the owner has too many rooms")
        return claim

    def number(self, room_id: str, message: Message, answer: PublishCallback) -> None:
        """Give a message its epoch and offset, and send it to all nodes.

        Parameters
        ----------
        room_id, message : str and Message
            The room, and the message to publish there.
        answer : callable
            Called when the message has come back or has failed; with None if this node cannot publish now.
        """
        claim = self.claim(room_id)
        if claim is None:
            answer(None)
            return
        message.room_id = room_id
        if not claim.add(message, answer):
            return
        self._news[room_id] = _HEAD_BEATS
        try:
            carried = self._link.send(ALL, Out(message))
        except BrokerFailed as error:
            self._abandon(room_id, claim, str(error))
        else:
            carried.add_done_callback(partial(self._carried, room_id, claim))

    def _carried(self, room_id: str, claim: RoomSequencer, carried: asyncio.Future[None]) -> None:
        error = "the carrier gave up" if carried.cancelled() else carried.exception()
        if error is not None:
            self._abandon(room_id, claim, str(error))

    def _abandon(self, room_id: str, claim: RoomSequencer, reason: str) -> None:
        """Give up a claim in whose epoch an offset may be missing."""
        claim.give_up(reason)
        if self._claims.get(room_id) is claim:
            del self._claims[room_id]
            self._reclaim(room_id)
        elif self._former.get(room_id) is claim:
            del self._former[room_id]
            self._say_handed()
            self._reclaim(room_id)

    def heard(self, room_id: str, epoch: str) -> None:
        """Note an epoch that some node has named; one later than this node's ends this node's claim."""
        for claims in (self._claims, self._former):
            claim = claims.get(room_id)
            if claim is not None and epoch > claim.epoch:
                del claims[room_id]
                self._news.pop(room_id, None)
                claim.give_up("another node has taken over the room")
        self._say_handed()

    def came_back(self, room_id: str, epoch: str, offset: int) -> None:
        """Note that a message has come from the carrier, and was delivered here."""
        claim = self._claims.get(room_id)
        if claim is None or claim.epoch != epoch:
            claim = self._former.get(room_id)
            if claim is None or claim.epoch != epoch:
                return
        if offset == claim.delivered + 1:
            claim.came_back(offset)
        elif offset > claim.delivered:
            self._abandon(room_id, claim, "the carrier lost a message")
        if not claim.waiting and self._former.get(room_id) is claim:
            del self._former[room_id]
            self._hand_over(room_id, claim, _TOLD_BYTES)
            self._say_handed()

    def keep(self, room_id: str, epoch: str) -> None:
        """Create a room that this node owns: the owner keeps its history, even without a member here."""
        claim = self._claims.get(room_id)
        if room_id not in self._hub and claim is not None and claim.epoch == epoch and not self._hub.full:
            self._hub.begin(room_id, epoch, claim.delivered)

    def release(self, *, stops: bool = False) -> None:
        """Hand over the rooms that another node owns now, once their messages have come back.

        Parameters
        ----------
        stops : bool
            Whether this node stops: then it hands over all rooms, and claims no more, now and later.
        """
        self._stops = self._stops or stops
        left = _HANDOVER_BYTES
        for room_id, claim in list(self._claims.items()):
            if not self._stops and self._members.owner(room_id) == self._members.me:
                continue
            del self._claims[room_id]
            self._news.pop(room_id, None)
            if claim.waiting:
                self._former[room_id] = claim
            else:
                left -= self._hand_over(room_id, claim, min(_TOLD_BYTES, left))
        self._handing = True
        self._say_handed()

    def hands_over(self, room_id: str) -> bool:
        """Return whether a room is to be handed over, when its messages have come back."""
        return room_id in self._former

    def _hand_over(self, room_id: str, claim: RoomSequencer, room_for: int) -> int:
        """Hand over a claim without waiting messages; return how many bytes of history were sent."""
        messages, size = list[Message](), 0
        room = self._hub.get(room_id)
        if room is not None and (room.epoch, room.offset) == (claim.epoch, claim.offset):
            messages, size = _newest(room.history.newest(len(room.history)), room_for)
        place = RoomHandover(self._members.me, room_id, claim.epoch, claim.offset, messages)
        self._link.say(ALL, place)
        return size

    def _say_handed(self) -> None:
        if self._handing and not self._former:
            self._handing = False
            self._link.say(ALL, Handed(self._members.me, self._members.lives))

    def expect(self, nodes: Iterable[str]) -> None:
        """Note living nodes that may hand over rooms; until they have, this node claims no other room."""
        until = self._clock() + _HANDOVER_TIMEOUT
        self._expected |= dict.fromkeys(nodes, until)

    def expect_no_more(self, node: str) -> None:
        """Note that a node has handed over all its rooms, or is dead."""
        self._expected.pop(node, None)

    def _expecting(self) -> bool:
        now = self._clock()
        return any(until > now for until in self._expected.values())

    @property
    def expected(self) -> list[str]:
        """The nodes that may still hand over rooms, also one that has announced its end."""
        return list(self._expected) if self._expecting() else []

    def take_over(self, handover: RoomHandover) -> bool:
        """Continue a room's numbering after its former owner; return False if this node must not do so."""
        room_id, epoch = handover.room, handover.epoch
        members, here = self._members, self._hub.get(room_id)
        members.term = max(members.term, term_of(epoch))
        if self._stops or room_id in self._claims or members.owner(room_id) != members.me:
            return False
        if handover.node not in self._expected or not self.check_lease():
            return False
        if here is not None and here.epoch > epoch:
            return False
        self._claims[room_id] = RoomSequencer(epoch, handover.offset, handover.messages)
        self._news[room_id] = _HEAD_BEATS
        return True

    def news(self) -> dict[str, tuple[str, int]]:
        """Return the heads for the next heartbeat: those of rooms with recent messages."""
        heads = self.heads(self._news)
        self._news = {room_id: left - 1 for room_id, left in self._news.items() if left > 1}
        return heads

    def heads(self, room_ids: Iterable[str] | None = None) -> dict[str, tuple[str, int]]:
        """Return epoch and offset of rooms that this node owns, of all by default."""
        claims = self._claims
        wanted = claims if room_ids is None else [room_id for room_id in room_ids if room_id in claims]
        return {room_id: (claims[room_id].epoch, claims[room_id].offset) for room_id in wanted}

    def tell(self, ask: AskHistory) -> None:
        """Answer a node's question; if this node is not the owner, give no answer: that node asks again."""
        room_id = ask.room
        claim = self.claim(room_id)
        if claim is None:
            return
        self.keep(room_id, claim.epoch)
        if room_id not in self._hub:
            return
        room = self._hub[room_id]
        frames = self._hub.after(room_id, ask.epoch, ask.offset)
        if frames is None:
            frames = room.history.newest(len(room.history))
        messages, _ = _newest(frames, _TOLD_BYTES)
        self._link.say(ALL, Told(ask.node, room_id, room.epoch, room.offset, messages))


def _newest(frames: list[EncodedFrame], most: int) -> tuple[list[Message], int]:
    """Return the newest messages that fit into `most` bytes, and how many bytes they take."""
    size, start = 0, len(frames)
    while start and size + (more := frames[start - 1].measure()) <= most:
        size += more
        start -= 1
    return [frame.message for frame in frames[start:]], size
