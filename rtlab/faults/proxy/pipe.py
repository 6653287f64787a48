"""A connection through the proxy: two pipes, each a source, a chain of stages and a sink."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Protocol

from rtlab.faults.toxics.toxic import Entry, Receiver, Stage
from rtlab.faults.trace import Trace

__all__ = ["Link", "Pipe", "Sink", "Source"]

HEAD_BYTES = 4096


class Source(Protocol):
    """Where bytes come from: it can be told to wait."""

    @property
    def unread(self) -> int: ...
    def pause_source(self) -> None: ...
    def resume_source(self) -> None: ...


class Sink(Protocol):
    """Where bytes go to: it says how many it still holds."""

    sent: int

    @property
    def backlog(self) -> int: ...
    def feed(self, data: bytes | memoryview) -> None: ...
    def eof(self) -> None: ...


class Pipe:
    """Moves bytes from a source to a sink through the toxics of one direction.

    Parameters
    ----------
    link : Link
        The connection.
    direction : str
        ``"upstream"`` (client to server) or ``"downstream"``.
    source, sink
        The two sockets.
    loop : asyncio.AbstractEventLoop
        Where the stages' timers run.
    """

    def __init__(
        self, link: Link, direction: str, source: Source, sink: Sink, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.link = link
        self.direction = direction
        self.source = source
        self.sink = sink
        self.loop = loop
        self.first: Receiver = sink  # where data enters
        self.stages: list[Stage[Any]] = []
        self.bytes = 0
        self.first_bytes = b""  # the first bytes, by which stages tell the protocol
        self.opposite: Pipe = self  # the other direction
        self._blockers: set[object] = set()
        self._draws: dict[str, float] = {}

    # Data
    def feed(self, data: bytes | memoryview) -> None:
        self.bytes += len(data)
        if len(self.first_bytes) < HEAD_BYTES:
            self.first_bytes += bytes(data[: HEAD_BYTES - len(self.first_bytes)])
        if self.first is self.sink:
            self.sink.feed(data)  # no toxic on the way, so no copy
        else:
            self.first.feed(bytes(data))

    def eof(self) -> None:
        self.first.eof()

    @property
    def upgraded(self) -> bool:
        """Whether a response with status 101 opened this direction."""
        return self.first_bytes.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101"))

    @property
    def fresh(self) -> bool:
        """Whether the connection is only being opened."""
        return self.link.fresh

    @property
    def ended(self) -> bool:
        return self.link.ended

    @property
    def held(self) -> int:
        """Bytes not yet given to the receiver's socket; of a source that must wait, also unread ones."""
        unread = self.source.unread if self._blockers else 0
        return sum(stage.held for stage in self.stages) + self.sink.backlog + unread

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
            if stage.affected:
                self.record("released", stage.entry.name)
            if self.ended:
                return
        present = {id(stage.entry): stage for stage in self.stages}
        fresh: list[Stage[Any]] = []
        chain: list[Stage[Any]] = []
        for entry in wanted:
            stage = present.get(id(entry))
            if stage is None:
                stage = type(entry.attributes).stages[self.link.protocol](entry, self, self._rng(entry.name))
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
        return random.Random(f"{self.link.rng_seed}/{self.direction}/{purpose}")

    def close(self) -> None:
        """The connection has ended: cancel every timer."""
        for stage in self.stages:
            stage.close()

    # Seen by stages
    def record(self, kind: str, toxic: str = "", bytes: int = 0, detail: str = "") -> None:
        self.link.record(kind, toxic=toxic, direction=self.direction, bytes=bytes, detail=detail)

    def end(self, how: str, toxic: str, detail: str = "") -> None:
        self.link.end(how, toxic, detail)

    def send_copy(self, request: bytes) -> None:
        self.link.send_copy(request)


class Link:
    """Two pipes in opposite directions, and what the trace says about them.

    Parameters
    ----------
    number : int
        Running number of the connection in its proxy.
    proxy_name : str
        For the trace.
    seed : str
        What all randomness of this connection derives from.
    trace : Trace
        Where effects are put on record.
    client, server
        Each is the source of one pipe and the sink of the other.
    """

    def __init__(
        self,
        number: int,
        proxy_name: str,
        seed: str,
        trace: Trace,
        client: Any,
        server: Any,
    ) -> None:
        self.number = number
        self.proxy_name = proxy_name
        self.rng_seed = seed
        self.trace = trace
        self.protocol = "tcp"
        self.ended = False
        self.fresh = True  # no toxic was applied yet
        self.loop = asyncio.get_running_loop()
        self.up = Pipe(self, "upstream", client, server, self.loop)
        self.down = Pipe(self, "downstream", server, client, self.loop)
        self.up.opposite, self.down.opposite = self.down, self.up

    @property
    def pipes(self) -> tuple[Pipe, Pipe]:
        return self.up, self.down

    @property
    def held(self) -> int:
        """Bytes inside the proxy, both directions."""
        return self.up.held + self.down.held

    def apply(self, entries: Iterable[Entry]) -> None:
        """Make both directions follow the proxy's list of toxics."""
        entries = list(entries)
        for pipe in self.pipes:
            if not self.ended:
                pipe.apply(entries)

    def record(
        self, kind: str, *, toxic: str = "", direction: str = "", bytes: int = 0, detail: str = ""
    ) -> None:
        self.trace.add(
            kind,
            self.proxy_name,
            toxic=toxic,
            connection=self.number,
            direction=direction,
            bytes=bytes,
            detail=detail,
        )

    def end(self, how: str, toxic: str = "", detail: str = "") -> None:
        """End the connection once, and put on record what was under way.

        Parameters
        ----------
        how : str
            ``"rst"``: both peers see a reset, data in flight is lost.
            ``"fin"``: an orderly end; what was handed to the sockets arrives.
        toxic : str
            Who did it; empty for a peer.
        detail : str
            Why.
        """
        if self.ended:
            return
        self.ended = True
        self.record("ended", toxic=toxic, bytes=self.held, detail=f"{how}: {detail}" if detail else how)
        for pipe in self.pipes:
            pipe.close()
        self.finish(how)

    def send_copy(self, request: bytes) -> None:
        """Send a request to the server on a connection of its own, and throw its answer away."""
        raise NotImplementedError

    def finish(self, how: str) -> None:
        """Close the sockets."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Close the sockets now, whatever they hold."""
        raise NotImplementedError
