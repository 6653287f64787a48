"""Random interleavings of a writer and a reader: which order of loading and subscribing leaves a gap?

The room is the server's own code, but there are no sockets and no clock. Ten thousand interleavings
therefore take seconds, and each can be replayed from its seed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from rtlab.policies.snapshot_then_delta import SnapshotThenDelta
from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.rooms.room_limits import HubLimits
from rtlab.server.rooms.room_membership_hub import Hub

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
#: Number of keys in the state: few, so that, as in practice, a later change can hide an earlier gap.
KEYS: Final = 12

#: Step of an interleaving → its probability; the last three are faults.
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
    """A reader's program, executed one step at a time.

    Attributes
    ----------
    view : dict
        The state that the reader shows, by key.
    """

    view: dict[int, int]

    def advance(self, world: Interleaving) -> bool:
        """Execute the next step; return False if there is none."""
        ...

    def receive(self, message: Message) -> None:
        """Handle a message of the room."""
        ...

    def reconnect(self, world: Interleaving) -> None:
        """Join the room again after a cut."""
        ...


class StateFirst:
    """The obvious program, which is wrong: load the state, then subscribe."""

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
    """Take the position, load the state, apply the changes since the position; see `SnapshotThenDelta`."""

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
        if place is not None:  # not recovered: a real client gets a `resync`
            self._place = place
            self._core.begin(*place)


class Interleaving:
    """One writer and one reader of a room.

    Parameters
    ----------
    reader : Reader
        The reader's program.
    history : int
        Number of messages that the room keeps in its history.

    Attributes
    ----------
    truth : dict
        The committed state, by key.
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
        """Join the room; return epoch and offset where it continues, None if the missed messages follow."""
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
        """Publish the oldest committed change that is not published yet."""
        if self._unpublished:
            epoch, offset = self._hub.next_place(ROOM)
            self._hub.deliver(ROOM, Message("set", self._unpublished.popleft(), epoch=epoch, offset=offset))

    def restart(self) -> None:
        """Begin a new epoch of the room, as a server that restarts does, and cut the connection."""
        self._epochs += 1
        self._hub.next_place(ROOM)  # creates the room if it does not exist
        self._hub[ROOM].restart(f"e{self._epochs}", 1)
        self.cut()

    def advance(self) -> None:
        """Let the reader execute its next step, if it is connected."""
        if self._connected:
            self.reader.advance(self)

    def receive(self) -> None:
        """Deliver the next message to the reader."""
        if self._received:
            self.reader.receive(self._received.popleft())

    def cut(self) -> None:
        """Cut the connection; messages in transit are lost."""
        self._connected = False
        self._hub.leave(self._member, ROOM)
        self._received.clear()

    def reconnect(self) -> None:
        """Open the connection again if it was cut."""
        if not self._connected:
            self._connected = True
            self.reader.reconnect(self)

    def settle(self) -> list[int]:
        """Run everything to its end; return the keys whose value the reader shows wrongly (its gaps)."""
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

    def deliver(self, frame: EncodedFrame) -> None:
        if frame.message.type == "set":
            self._receive(frame.message)

    def deliver_burst(self, burst: Burst, had: int | None) -> None:
        for frame in burst.frames[had:]:
            self.deliver(frame)

    def blocks(self, room_id: str) -> bool:
        return False

    def when_changed(self, action: Callable[[], Any]) -> Any:
        raise NotImplementedError  # only publishers call this, for a member that blocks


def gaps_of(
    make_reader: Callable[[], Reader], seed: int, steps: int = 40, *, faults: bool = True
) -> list[int]:
    """Run one random interleaving; return the keys whose value the reader shows wrongly at its end.

    Parameters
    ----------
    make_reader : callable
        Makes the reader, for instance `PositionFirst` or `StateFirst`.
    seed : int
        Seed of the random steps.
    steps : int
        Number of steps.
    faults : bool
        Whether the steps include cuts, reconnects and restarts.

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
    """The result of many interleavings.

    Parameters
    ----------
    count : int
        Number of interleavings.
    with_gaps : int
        Number of interleavings after which the reader showed a wrong value.
    first : int or None
        Seed of the first interleaving with a gap; None if there was none.
    """

    count: int
    with_gaps: int
    first: int | None


def run_interleavings(
    make_reader: Callable[[], Reader], count: int, seed: int = 0, *, faults: bool = True
) -> Interleavings:
    """Run `count` random interleavings.

    Parameters
    ----------
    make_reader : callable
        Makes the reader, for instance `PositionFirst` or `StateFirst`.
    count : int
        Number of interleavings.
    seed : int
        Seed of the first interleaving; the next ones use seed + 1, seed + 2, …
    faults : bool
        Whether the connection is cut and the server restarted.
    """
    seeds = range(seed, seed + count)
    bad = [number for number in seeds if gaps_of(make_reader, number, faults=faults)]
    return Interleavings(count, len(bad), bad[0] if bad else None)
