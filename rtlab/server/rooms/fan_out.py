"""Delivers a room's messages to all members: one turn's messages together, a huge room's in slices.

Messages that are published in one turn of the loop are delivered at its end, so that a member gets ten
messages in one burst. The newest members are served first, and those beyond the turn's slice in later
turns; each gets the messages in the room's order. Only publishers to that room wait meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.maybe_awaitable_values import Later, forward
from rtlab.server.rooms.room import Member, Room

__all__ = ["BURST_BYTES", "BURST_FRAMES", "FanOut"]

T = TypeVar("T")

#: Frames, and bytes, that a burst holds at most.
BURST_FRAMES: Final = 64
BURST_BYTES: Final = 32 * 1024

#: Deliveries between two readings of the clock: some 3 ms for event streams with 64 rooms each.
_DELIVERIES_PER_STEP: Final = 32

#: While more bytes than this wait in a room, publishers on this node have to wait.
_LAG_BYTES: Final = 256 * 1024

#: If more bytes than this wait (other nodes' messages), the room is delivered at once, to bound memory.
_MOST_BYTES: Final = 4 * 1024 * 1024


class _Outgoing:
    """One room's bursts that are not delivered to all members yet, oldest first.

    With each burst are the members that wait for it, and how many of its frames each has got; None for none.
    """

    __slots__ = ("actions", "begun", "bursts", "size_bytes")

    def __init__(self) -> None:
        self.bursts: deque[tuple[Burst, dict[Member, int | None]]] = deque()
        self.size_bytes = 0
        self.begun = False  # the first burst has reached some members: no frame may be added
        self.actions: deque[Callable[[], object]] = deque()

    @property
    def lags(self) -> bool:
        return self.begun or self.size_bytes > _LAG_BYTES

    def add(self, frame: EncodedFrame, members: dict[Member, None]) -> None:
        size = frame.measure()
        self.size_bytes += size
        if self.bursts and (len(self.bursts) > 1 or not self.begun):
            burst, _ = self.bursts[-1]
            if len(burst.frames) < BURST_FRAMES and burst.size_bytes + size <= BURST_BYTES:
                burst.add(frame)
                return
        self.bursts.append((Burst(frame), {**members}))

    def reach(self, most: int | None) -> None:
        """Deliver the oldest burst, with about `most` deliveries; None for all that are left."""
        self.begun = True
        burst, waiting = self.bursts[0]
        members = len(waiting) if most is None else min(len(waiting), most // len(burst.frames) or 1)
        for _ in range(members):
            if not waiting:
                break  # a delivery released a publisher, which finished the room
            member, had = waiting.popitem()
            member.deliver_burst(burst, had)
        if not waiting and self.bursts and self.bursts[0][0] is burst:
            self.bursts.popleft()
            self.size_bytes -= burst.size_bytes


class FanOut:
    """Delivers the messages of all rooms to their members.

    Parameters
    ----------
    turns : Turns, optional
        Delivers at the end of a turn, and in slices. Without it, each message is delivered at once.

    Attributes
    ----------
    outgoing : dict
        Name of a room → its bursts that are not delivered to all members yet. Empty at the end of most
        turns.
    """

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns
        self._shared = False  # `_step` will be called
        self.outgoing: OrderedDict[str, _Outgoing] = OrderedDict()

    def publish(self, room: Room, frame: EncodedFrame) -> None:
        """Deliver a frame to all present members of a room, now or at the end of the turn."""
        if self._turns is None or len(room.members) <= 1:
            # A single member's connection joins a turn's messages itself; a burst would cost it 15 µs more.
            for member in tuple(room.members):
                member.deliver(frame)
            return
        out = self.outgoing.get(room.room_id)
        if out is None:
            out = self.outgoing[room.room_id] = _Outgoing()
        out.add(frame, room.members)
        if not self._shared:
            self._shared = True
            self._turns.share(self._step)
        if out.size_bytes > _MOST_BYTES:
            self.finish(room.room_id)

    def _step(self) -> bool:
        """Deliver to some members of one room; return whether there is more to do."""
        turns = self._turns
        if turns is not None and self.outgoing:  # no room is left if all were finished meanwhile
            room_id, out = next(iter(self.outgoing.items()))
            while True:
                alone = len(self.outgoing) == len(out.bursts) == 1
                out.bursts[0][0].alone = alone
                out.reach(_DELIVERIES_PER_STEP)
                # Beside other bursts, each gets a step in its turn.
                if not (alone and out.bursts) or len(self.outgoing) != 1 or turns.share_spent():
                    break
            if out.bursts:
                self.outgoing.move_to_end(room_id)
            elif self.outgoing.get(room_id) is out:
                self._end(room_id)
        self._shared = bool(self.outgoing)
        return self._shared

    def finish(self, room_id: str) -> None:
        """Deliver everything to all members of a room now, however many they are."""
        out = self.outgoing.get(room_id)
        if out is not None:
            while out.bursts:
                out.reach(None)
            if self.outgoing.get(room_id) is out:
                self._end(room_id)

    def _end(self, room_id: str) -> None:
        actions = self.outgoing.pop(room_id).actions
        # Let the waiting publishers publish, one by one, until the room lags again.
        while actions and not self.lags(room_id):
            actions.popleft()()
        if actions:
            self.outgoing[room_id].actions.extendleft(reversed(actions))

    def catch_up(self, member: Member) -> None:
        """Deliver to a member what waits for it in its rooms, because a message from elsewhere is next."""
        outgoing, rooms = self.outgoing, member.rooms
        for room_id in list(outgoing if len(outgoing) < len(rooms) else rooms):
            self._catch_up(member, room_id)

    def _catch_up(self, member: Member, room_id: str) -> None:
        out = self.outgoing.get(room_id)
        for burst, waiting in () if out is None else tuple(out.bursts):
            if member in waiting:
                had, waiting[member] = waiting[member], len(burst.frames)
                member.deliver_burst(burst, had)

    def enter(self, member: Member, room_id: str) -> None:
        """Note that a member has entered: it gets what is published from now on."""
        out = self.outgoing.get(room_id)
        if out is not None and out.bursts:
            burst, waiting = out.bursts[-1]
            waiting[member] = len(burst.frames)

    def leave(self, member: Member, room_id: str) -> None:
        """Note that a member leaves: deliver to it now what was published so far, and nothing later."""
        out = self.outgoing.get(room_id)
        if out is not None:
            self._catch_up(member, room_id)
            for _, waiting in out.bursts:
                waiting.pop(member, None)

    def lags(self, room_id: str) -> bool:
        """Whether publishers to a room have to wait until its members have got earlier messages."""
        out = self.outgoing.get(room_id)
        return out is not None and out.lags

    def when_delivered(self, room_id: str, action: Callable[[], Later[T]]) -> asyncio.Future[T]:
        """Do an action once a lagging room no longer lags, after the actions that wait already."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.outgoing[room_id].actions.append(partial(forward, action, result))
        return result
