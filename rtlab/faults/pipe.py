"""One direction of one connection: a source, a chain of stages, a sink."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rtlab.faults.toxics.base import Entry, Receiver, Stage

__all__ = ["Owner", "Pipe", "Sink", "Source"]

HEAD_BYTES = 4096


class Source(Protocol):
    def pause_source(self) -> None: ...
    def resume_source(self) -> None: ...


class Sink(Protocol):
    @property
    def backlog(self) -> int: ...
    def feed(self, data: bytes | memoryview) -> None: ...
    def eof(self) -> None: ...


class Owner(Protocol):
    """The connection that a pipe belongs to."""

    number: int
    rng_seed: str
    fresh: bool
    ended: bool

    def end(self, how: str, toxic: str, detail: str = "") -> None: ...
    def record(
        self, kind: str, *, toxic: str = "", direction: str = "", bytes: int = 0, detail: str = ""
    ) -> None: ...


class Pipe:
    """Moves bytes from a source to a sink through the toxics of one direction.

    Parameters
    ----------
    owner : Owner
        The connection.
    direction : str
        ``"upstream"`` (client to server) or ``"downstream"``.
    source, sink
        The two sockets.
    loop : asyncio.AbstractEventLoop
        Where the stages' timers run.
    """

    def __init__(
        self, owner: Owner, direction: str, source: Source, sink: Sink, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.owner = owner
        self.direction = direction
        self.source = source
        self.sink = sink
        self.loop = loop
        self.first: Receiver = sink  # where data enters
        self.stages: list[Stage[Any]] = []
        self.bytes = 0
        self.opening = b""  # the first bytes, by which stages tell the protocol
        self.twin: Pipe = self  # the other direction
        self._blockers: set[object] = set()
        self._draws: dict[str, float] = {}

    # Data
    def feed(self, data: bytes | memoryview) -> None:
        self.bytes += len(data)
        if len(self.opening) < HEAD_BYTES:
            self.opening += bytes(data[: HEAD_BYTES - len(self.opening)])
        if self.first is self.sink:
            self.sink.feed(data)  # nothing to do on the way: no copy
        else:
            self.first.feed(bytes(data))

    def eof(self) -> None:
        self.first.eof()

    @property
    def upgraded(self) -> bool:
        """Whether a response with status 101 opened this direction."""
        return self.opening.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101"))

    @property
    def fresh(self) -> bool:
        """Whether the connection is only being opened."""
        return self.owner.fresh

    @property
    def ended(self) -> bool:
        return self.owner.ended

    @property
    def held(self) -> int:
        """Bytes that were read and not yet given to the receiver's socket."""
        return sum(stage.held for stage in self.stages) + self.sink.backlog

    # Backpressure
    def block(self, who: object) -> None:
        """Stop reading the source until `who` calls `unblock`."""
        if not self._blockers:
            self.source.pause_source()
        self._blockers.add(who)

    def unblock(self, who: object) -> None:
        if who in self._blockers:
            self._blockers.remove(who)
            if not self._blockers:
                self.source.resume_source()

    @property
    def blocked(self) -> bool:
        return bool(self._blockers)

    # Stages
    def apply(self, entries: Iterable[Entry]) -> None:
        """Make the chain follow the proxy's list of toxics.

        Which connections a toxicity below 1 touches is drawn once per
        connection and toxic, so raising it only ever adds connections.
        """
        wanted = [e for e in entries if e.stream == self.direction and self._draw(e) < e.toxicity]
        for stage in [s for s in self.stages if not any(s.entry is e for e in wanted)]:
            stage.stop()
            stage.close()
            self.unblock(stage)
            at = self.stages.index(stage)
            del self.stages[at]
            self._link()
            if stage.struck:
                self.record("released", stage.entry.name)
        present = {id(stage.entry): stage for stage in self.stages}
        fresh: list[Stage[Any]] = []
        chain: list[Stage[Any]] = []
        for entry in wanted:
            stage = present.get(id(entry))
            if stage is None:
                stage = type(entry.attributes).stage(entry, self, self._rng(entry.name))
                fresh.append(stage)
            chain.append(stage)
        self.stages = chain
        self._link()
        for stage in fresh:
            stage.start()

    def _link(self) -> None:
        after: Receiver = self.sink
        for stage in reversed(self.stages):
            stage.next = after
            after = stage
        self.first = after

    def _draw(self, entry: Entry) -> float:
        if entry.name not in self._draws:
            self._draws[entry.name] = self._rng(f"{entry.name}/toxicity").random()
        return self._draws[entry.name]

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.owner.rng_seed}/{self.direction}/{purpose}")

    def close(self) -> None:
        """The connection has ended: cancel every timer."""
        for stage in self.stages:
            stage.close()

    # Seen by stages
    def record(self, kind: str, toxic: str = "", bytes: int = 0, detail: str = "") -> None:
        self.owner.record(kind, toxic=toxic, direction=self.direction, bytes=bytes, detail=detail)

    def end(self, how: str, toxic: str, detail: str = "") -> None:
        self.owner.end(how, toxic, detail)
