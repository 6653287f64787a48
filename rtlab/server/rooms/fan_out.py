"""From one room to all its members: a turn's messages together, and a huge room in slices.

What is published in one turn of the loop is handed over at its end, so that a member takes ten messages
as one piece. Members are reached newest first, those beyond the turn's share in later turns, and each has
the messages in the room's order; whoever publishes there waits meanwhile, and nobody else does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from rtlab.server.encoded_frames import Burst, Frame
from rtlab.server.loop_turns import Turns
from rtlab.server.ordered_answers import Later, forward
from rtlab.server.rooms.room import Member, Room

__all__ = ["BURST_BYTES", "BURST_FRAMES", "FanOut"]

T = TypeVar("T")

#: Frames, and bytes, that are handed over as one piece.
BURST_FRAMES: Final = 64
BURST_BYTES: Final = 32 * 1024

#: Deliveries between two looks at the clock: of event streams in 64 rooms each, some 3 ms.
_DELIVERIES_PER_STEP: Final = 32

#: A room in which more than this waits takes nothing from publishers of this node.
_LAG_BYTES: Final = 256 * 1024

#: In which even more waits, from other nodes, is delivered at once: what waits is bounded.
_MOST_BYTES: Final = 4 * 1024 * 1024


class _Outgoing:
    """What one room's members are still to get: bursts, oldest first, each with those who wait for it.

    With each member stands how many of the burst's frames it has had; None for none.
    """

    __slots__ = ("actions", "begun", "bursts", "size_bytes")

    def __init__(self) -> None:
        self.bursts: deque[tuple[Burst, dict[Member, int | None]]] = deque()
        self.size_bytes = 0
        self.begun = False  # somebody has had the first of them: it takes no more frames
        self.actions: deque[Callable[[], object]] = deque()

    @property
    def lags(self) -> bool:
        return self.begun or self.size_bytes > _LAG_BYTES

    def add(self, frame: Frame, members: dict[Member, None]) -> None:
        size = frame.measure()
        self.size_bytes += size
        if self.bursts and (len(self.bursts) > 1 or not self.begun):
            burst, _ = self.bursts[-1]
            if len(burst.frames) < BURST_FRAMES and burst.size_bytes + size <= BURST_BYTES:
                burst.add(frame)
                return
        self.bursts.append((Burst(frame), {**members}))

    def reach(self, most: int | None) -> None:
        """Hand over the oldest burst: about so many deliveries, or all of it."""
        self.begun = True
        burst, waiting = self.bursts[0]
        members = len(waiting) if most is None else min(len(waiting), most // len(burst.frames) or 1)
        for _ in range(members):
            if not waiting:
                break  # a delivery let a publisher in, who finished the room
            member, had = waiting.popitem()
            member.deliver_burst(burst, had)
        if not waiting and self.bursts and self.bursts[0][0] is burst:
            self.bursts.popleft()
            self.size_bytes -= burst.size_bytes


class FanOut:
    """Hands the messages of all rooms to their members.

    Parameters
    ----------
    turns : Turns, optional
        Says when a turn ends, and when it has done its share. Without it everybody gets everything at
        once.

    Attributes
    ----------
    outgoing : dict
        By the room's name, of those whose members are still to get something. Empty at the end of most
        turns.
    """

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns
        self._shared = False  # `_step` will be called
        self.outgoing: OrderedDict[str, _Outgoing] = OrderedDict()

    def publish(self, room: Room, frame: Frame) -> None:
        """Hand a frame to all who are in a room now."""
        if self._turns is None or len(room.members) <= 1:
            # One member's own connection puts a turn's messages together: the rest would cost it 15 µs more.
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
        """Reach some members of one room; return whether there is more to do."""
        if self.outgoing:  # else it was finished meanwhile
            room_id, out = next(iter(self.outgoing.items()))
            out.bursts[0][0].alone = len(self.outgoing) == len(out.bursts) == 1
            out.reach(_DELIVERIES_PER_STEP)
            if out.bursts:
                self.outgoing.move_to_end(room_id)
            elif self.outgoing.get(room_id) is out:
                self._end(room_id)
        self._shared = bool(self.outgoing)
        return self._shared

    def finish(self, room_id: str) -> None:
        """Reach all members of a room now, however many they are."""
        out = self.outgoing.get(room_id)
        if out is not None:
            while out.bursts:
                out.reach(None)
            if self.outgoing.get(room_id) is out:
                self._end(room_id)

    def _end(self, room_id: str) -> None:
        actions = self.outgoing.pop(room_id).actions
        # The first may publish, and so on, until the room lags again.
        while actions and not self.lags(room_id):
            actions.popleft()()
        if actions:
            self.outgoing[room_id].actions.extendleft(reversed(actions))

    def catch_up(self, member: Member) -> None:
        """Hand a member what its rooms have for it: something that is not theirs comes next."""
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
        """Note that a member leaves: it gets, now, what was published until now, and no more."""
        out = self.outgoing.get(room_id)
        if out is not None:
            self._catch_up(member, room_id)
            for _, waiting in out.bursts:
                waiting.pop(member, None)

    def lags(self, room_id: str) -> bool:
        """Whether publishers to a room have to wait until its members have what was published."""
        out = self.outgoing.get(room_id)
        return out is not None and out.lags

    def when_delivered(self, room_id: str, action: Callable[[], Later[T]]) -> asyncio.Future[T]:
        """Do an action once a room that lags does not, behind those that wait already."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.outgoing[room_id].actions.append(partial(forward, action, result))
        return result
