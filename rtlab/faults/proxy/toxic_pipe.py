"""A pipe carries one direction of a connection: from a source through the toxics' stages to a sink."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Protocol

from rtlab.faults.fault_trace import Trace
from rtlab.faults.toxics.toxic_registry_and_base_classes import NextStage, ToxicEntry, ToxicStage

__all__ = ["Pipe", "PipePair", "PipeSink", "PipeSource"]

HEAD_BYTES = 4096


class PipeSource(Protocol):
    """Where a pipe gets bytes from; the pipe can pause it."""

    @property
    def unread(self) -> int: ...
    def pause_source(self) -> None: ...
    def resume_source(self) -> None: ...


class PipeSink(Protocol):
    """Where a pipe delivers bytes; `backlog` is the number of bytes not yet written to the socket."""

    sent: int

    @property
    def backlog(self) -> int: ...
    def feed(self, data: bytes | memoryview) -> None: ...
    def eof(self) -> None: ...


class Pipe:
    """Moves bytes from a source to a sink through the toxics of one direction.

    Parameters
    ----------
    link : PipePair
        The connection.
    direction : str
        ``"upstream"`` (client to server) or ``"downstream"``.
    source, sink
        The two sockets.
    loop : asyncio.AbstractEventLoop
        The event loop of the stages' timers.
    """

    def __init__(
        self,
        link: PipePair,
        direction: str,
        source: PipeSource,
        sink: PipeSink,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.link = link
        self.direction = direction
        self.source = source
        self.sink = sink
        self.loop = loop
        self.first: NextStage = sink  # the first stage, or the sink
        self.stages: list[ToxicStage[Any]] = []
        self.bytes = 0
        self.first_bytes = b""  # the start of the stream, from which stages detect the protocol
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
        """Whether this direction begins with an HTTP response of status 101."""
        return self.first_bytes.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101"))

    @property
    def fresh(self) -> bool:
        """Whether the connection is still being set up: a stage that starts now sees its first byte."""
        return self.link.fresh

    @property
    def ended(self) -> bool:
        return self.link.ended

    @property
    def held(self) -> int:
        """Bytes in the stages and in the sink's write buffer; of a paused source, also its unread bytes."""
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
    def apply(self, entries: Iterable[ToxicEntry]) -> None:
        """Make the chain follow the proxy's list of toxics.

        One random number is drawn per connection and toxic, and compared with the
        toxicity. So raising the toxicity only ever adds affected connections.
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
        fresh: list[ToxicStage[Any]] = []
        chain: list[ToxicStage[Any]] = []
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
        after: NextStage = self.sink
        for stage in reversed(self.stages):
            stage.next = after
            after = stage
        self.first = after

    def _draw(self, entry: ToxicEntry) -> float:
        if entry.name not in self._draws:
            self._draws[entry.name] = self._rng(f"{entry.name}/toxicity").random()
        return self._draws[entry.name]

    def reseed(self) -> None:
        """Forget what was drawn from the connection's old seed, also in the stages that stay."""
        self._draws.clear()
        for stage in self.stages:
            stage.reseed(self._rng(stage.entry.name))

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.link.rng_seed}/{self.direction}/{purpose}")

    def close(self) -> None:
        """The connection has ended: cancel every timer."""
        for stage in self.stages:
            stage.close()

    # Called by stages
    def record(self, kind: str, toxic: str = "", bytes: int = 0, detail: str = "") -> None:
        self.link.record(kind, toxic=toxic, direction=self.direction, bytes=bytes, detail=detail)

    def end(self, how: str, toxic: str, detail: str = "") -> None:
        self.link.end(how, toxic, detail)

    def send_copy(self, request: bytes) -> None:
        self.link.send_copy(request)


class PipePair:
    """One proxied connection: two pipes in opposite directions, and their entries in the trace.

    Parameters
    ----------
    number : int
        Number of the connection, counted per proxy.
    proxy_name : str
        Name of the proxy, for the trace.
    seed : str
        Seed from which all randomness of this connection derives.
    trace : Trace
        Where effects are recorded.
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
        self.fresh = True  # until the first toxics are in place
        self.loop = asyncio.get_running_loop()
        self.up = Pipe(self, "upstream", client, server, self.loop)
        self.down = Pipe(self, "downstream", server, client, self.loop)
        self.up.opposite, self.down.opposite = self.down, self.up

    @property
    def pipes(self) -> tuple[Pipe, Pipe]:
        return self.up, self.down

    @property
    def held(self) -> int:
        """Bytes held in the proxy, in both directions."""
        return self.up.held + self.down.held

    def apply(self, entries: Iterable[ToxicEntry]) -> None:
        """Make both directions follow the proxy's list of toxics."""
        entries = list(entries)
        for pipe in self.pipes:
            if not self.ended:
                pipe.apply(entries)

    def reseed(self) -> None:
        """Draw from `rng_seed`, which has changed, in both directions."""
        for pipe in self.pipes:
            pipe.reseed()

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
        """End the connection, unless it has ended, and record how many bytes the proxy still held.

        Parameters
        ----------
        how : str
            ``"rst"``: both peers see a reset, data in flight is lost.
            ``"fin"``: an orderly end; bytes that were handed to the sockets arrive.
        toxic : str
            Name of the toxic that ends it; empty when no toxic does.
        detail : str
            The reason, for the trace.
        """
        if self.ended:
            return
        self.ended = True
        self.record("ended", toxic=toxic, bytes=self.held, detail=f"{how}: {detail}" if detail else how)
        for pipe in self.pipes:
            pipe.close()
        self.finish(how)

    def send_copy(self, request: bytes) -> None:
        """Send a copy of a request to the server on a separate connection, and discard the response."""
        raise NotImplementedError

    def finish(self, how: str) -> None:
        """Close the sockets."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Close the sockets at once, and discard their unsent bytes."""
        raise NotImplementedError
