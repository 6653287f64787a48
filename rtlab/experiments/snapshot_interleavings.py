"""A writer, a room and a reader, step by step: which order of reading and subscribing leaves a gap.

The room is the server's own; there are no sockets and no clock, so that ten thousand
interleavings take seconds, and each can be replayed from its seed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from rtlab.policies.snapshot_then_delta import SnapshotThenDelta
from rtlab.protocol.messages import Message
from rtlab.server.encoded_frames import Burst, Frame
from rtlab.server.rooms.hub import Hub
from rtlab.server.rooms.limits import HubLimits

__all__ = [
    "Interleaving",
    "Interleavings",
    "PositionFirst",
    "Reader",
    "StateFirst",
    "gaps_of",
    "run_interleavings",
]

ROOM: Final = "state"
#: Few, so that a later change may hide an earlier gap, as it does in life.
KEYS: Final = 12

#: The steps of an interleaving, and how often each comes; the last three are faults.
STEPS: Final = {
    "commit": 0.22,
    "publish": 0.22,
    "advance": 0.22,
    "receive": 0.22,
    "cut": 0.05,
    "reconnect": 0.05,
    "restart": 0.02,
}


class Reader(Protocol):
    """A program of a reader, a step at a time.

    Attributes
    ----------
    view : dict
        What it shows.
    """

    view: dict[int, int]

    def advance(self, world: Interleaving) -> bool:
        """Take the next step; False when there is none."""
        ...

    def receive(self, message: Message) -> None:
        """Take a message of the room."""
        ...

    def reconnect(self, world: Interleaving) -> None:
        """Enter the room again after a cut."""
        ...


class StateFirst:
    """What everybody writes first: load the state, then subscribe."""

    def __init__(self) -> None:
        self.view: dict[int, int] = {}
        self._step = 0

    def advance(self, world: Interleaving) -> bool:
        self._step += 1
        if self._step == 1:
            self.view = dict(world.truth)
        elif self._step == 2:
            world.enter()
        return self._step <= 2

    def receive(self, message: Message) -> None:
        self.view.update([message.payload])

    def reconnect(self, world: Interleaving) -> None:
        if self._step >= 2:
            world.enter()


class PositionFirst:
    """The position, then the state, then what came after the position; see `SnapshotThenDelta`."""

    def __init__(self) -> None:
        self.view: dict[int, int] = {}
        self._core = SnapshotThenDelta[Message]()
        self._place: tuple[str, int] | None = None
        self._read: tuple[int, dict[int, int]] | None = None

    def advance(self, world: Interleaving) -> bool:
        if self._core.live:
            return False
        if self._core.position is None:
            place = self._place = world.enter()
            assert place is not None
            self._core.begin(*place)
        elif self._read is None:
            self._read = self._core.reading, dict(world.truth)
        else:
            (reading, state), self._read = self._read, None
            deltas = self._core.show(reading)
            if deltas is not None:
                self.view = state
                for delta in deltas:
                    self.view.update([delta.payload])
        return True

    def receive(self, message: Message) -> None:
        assert message.epoch is not None
        assert message.offset is not None
        self._place = message.epoch, message.offset
        for delta in self._core.take(message.epoch, message.offset, message):
            self.view.update([delta.payload])

    def reconnect(self, world: Interleaving) -> None:
        if self._place is None:
            return
        place = world.enter(*self._place)
        if place is not None:  # not recovered: the client's `resync`
            self._place = place
            self._core.begin(*place)


class Interleaving:
    """One writer and one reader of a room.

    Parameters
    ----------
    reader : Reader
        Its program.
    history : int
        Messages that the room keeps.

    Attributes
    ----------
    truth : dict
        The state, as it is committed.
    """

    def __init__(self, reader: Reader, history: int = 2) -> None:
        self.reader = reader
        self.truth: dict[int, int] = {}
        self._hub = Hub(lambda: 0.0, HubLimits(history_messages=history), new_epoch=lambda: "e0")
        self._epochs = 0
        self._unpublished: deque[tuple[int, int]] = deque()
        self._received: deque[Message] = deque()
        self._member = _Member(self._received.append)
        self._connected = True
        self._count = 0

    def enter(self, epoch: str | None = None, offset: int | None = None) -> tuple[str, int] | None:
        """Enter the room; return the place from which it goes on, None when what was missed comes."""
        joined = self._hub.join(self._member, ROOM, epoch, offset)
        for frame in joined.missed:
            self._member.deliver(frame)
        return None if joined.recovered and epoch is not None else (joined.epoch, joined.place)

    def commit(self) -> None:
        """Change the state; the change is not published yet."""
        self._count += 1
        change = self._count % KEYS, self._count
        self.truth.update([change])
        self._unpublished.append(change)

    def publish(self) -> None:
        """Publish the oldest change that is committed."""
        if self._unpublished:
            epoch, offset = self._hub.next_place(ROOM)
            self._hub.deliver(ROOM, Message("set", self._unpublished.popleft(), epoch=epoch, offset=offset))

    def restart(self) -> None:
        """Begin another history of the room, as a server that restarts does."""
        self._epochs += 1
        self._hub.next_place(ROOM)  # which makes the room, if nobody has
        self._hub[ROOM].restart(f"e{self._epochs}", 1)
        self.cut()

    def advance(self) -> None:
        """Let the reader take its next step."""
        if self._connected:
            self.reader.advance(self)

    def receive(self) -> None:
        """Let the reader have the next message."""
        if self._received:
            self.reader.receive(self._received.popleft())

    def cut(self) -> None:
        """End the connection: what was on its way is lost."""
        self._connected = False
        self._hub.leave(self._member, ROOM)
        self._received.clear()

    def reconnect(self) -> None:
        """Open it again."""
        if not self._connected:
            self._connected = True
            self.reader.reconnect(self)

    def settle(self) -> list[int]:
        """Let everything come to an end; return the keys that the reader shows wrongly: its gaps."""
        self.reconnect()
        while self._unpublished:
            self.publish()
        more = True
        while more or self._received:
            self.receive()
            more = self.reader.advance(self)
        return [key for key, value in self.truth.items() if self.reader.view.get(key) != value]


class _Member:
    user = "reader"
    present = True

    def __init__(self, receive: Callable[[Message], None]) -> None:
        self._receive = receive
        self.rooms: dict[str, None] = {}

    def deliver(self, frame: Frame) -> None:
        if frame.message.type == "set":
            self._receive(frame.message)

    def deliver_burst(self, burst: Burst, had: int | None) -> None:
        for frame in burst.frames[had:]:
            self.deliver(frame)

    def blocks(self, room_id: str) -> bool:
        return False

    def when_changed(self, action: Callable[[], Any]) -> Any:
        raise NotImplementedError  # only publishers wait, and this one blocks nobody


def gaps_of(
    make_reader: Callable[[], Reader], seed: int, steps: int = 40, *, faults: bool = True
) -> list[int]:
    """Run one random interleaving; return the keys that the reader shows wrongly at its end.

    Parameters
    ----------
    make_reader : callable
        `PositionFirst` or `StateFirst`, say.
    seed : int
        Draws the steps.
    steps : int
        How many.
    faults : bool
        Whether cuts and restarts are among them.

    Examples
    --------
    >>> gaps_of(PositionFirst, seed=1)
    []
    """
    rng = np.random.default_rng(seed)
    world = Interleaving(make_reader())
    names = list(STEPS) if faults else ["commit", "publish", "advance", "receive"]
    weights = np.array([STEPS[name] for name in names])
    for step in rng.choice(names, steps, p=weights / weights.sum()):
        getattr(world, str(step))()
    return world.settle()


class Interleavings(msgspec.Struct, frozen=True):
    """What many interleavings came to.

    Parameters
    ----------
    count : int
        How many were run.
    with_gaps : int
        After how many the reader showed something that is not true.
    first : int or None
        Seed of the first of them.
    """

    count: int
    with_gaps: int
    first: int | None


def run_interleavings(
    make_reader: Callable[[], Reader], count: int, seed: int = 0, *, faults: bool = True
) -> Interleavings:
    """Run so many random interleavings.

    Parameters
    ----------
    make_reader : callable
        `PositionFirst` or `StateFirst`, say.
    count : int
        How many.
    seed : int
        Of the first; the others follow.
    faults : bool
        Whether the connection is cut, and the server restarted.
    """
    seeds = range(seed, seed + count)
    bad = [number for number in seeds if gaps_of(make_reader, number, faults=faults)]
    return Interleavings(count, len(bad), bad[0] if bad else None)
