"""How a frame leaves: one sink per connection, no task, no queue of its own.

A sink holds what is written in one turn of the loop, writes it into its connection's
transport at the end, and looks at how much the transport still holds: a client that does
not read is cut off, and costs nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from rtlab.server.frames import Frame
from rtlab.server.turns import Turns

__all__ = ["MAX_HELD_BYTES", "MAX_QUEUE_FACTOR", "STALL_SECONDS", "Sink", "SlowReader", "StreamSink"]

#: A client that has more than its limit outstanding may take nothing for this long.
STALL_SECONDS: Final = 2.0

#: However fast it reads: so many times its limit is the most that is held for one client.
MAX_QUEUE_FACTOR: Final = 32


#: More than this is not held until the end of a turn.
MAX_HELD_BYTES: Final = 64 * 1024


class Sink(Protocol):
    """One connection, as a session sees it: the seam for a new transport.

    To add a transport, write a sink and, for each connection,

    1. ``accepted = node.connections.accept(ConnectRequest(...))``: resumes or begins a session;
    2. ``node.connections.attach(accepted, sink)``: writes the welcome and what was missed;
       from then on every frame of the session arrives in `write`;
    3. ``node.ingress.receive(session, data, codec)`` for each incoming message;
    4. ``node.connections.detach(session, sink)`` when the connection has ended, whatever
       the reason; with ``ended=True`` when the client said that it is done.

    All of them are plain functions that never block; `write` gets a `Frame`, and
    ``frame.encoded(JSON)`` gives its bytes, encoded once for everybody.
    """

    #: ``"websocket"``, ``"sse"``, ``"longpoll"`` or ``"webrtc"``.
    transport: ClassVar[str]

    @property
    def queued_bytes(self) -> int:
        """Bytes written and not yet taken by the system."""
        ...

    def write(self, frame: Frame, position: int) -> None:
        """Send one frame. Never raises, never blocks; may cut off a slow client."""
        ...

    def flush(self) -> None:
        """Hand over what is held for the end of the turn."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Begin an orderly end with a WebSocket close code; bounded in time, idempotent."""
        ...

    def abort(self) -> None:
        """End at once; idempotent."""
        ...

    def heartbeat(self) -> None:
        """Write whatever keeps a quiet connection alive; nothing if it needs nothing."""
        ...


class SlowReader:
    """Tells a client that does not read from one that reads and asked for much.

    More than the limit may be outstanding as long as some of it is taken: each look
    must find less than the one before left, or at most `STALL_SECONDS` may pass.

    Parameters
    ----------
    limit_bytes : int
        What may be outstanding without a look at the progress.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    behind : bool
        Whether more than the limit was outstanding at the last look.
    """

    __slots__ = ("_clock", "_left", "_since", "behind", "limit_bytes")

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_bytes = limit_bytes
        self._clock = clock
        self.behind = False
        # What the last write left outstanding, and since when nothing of it was taken.
        self._left = 0
        self._since = 0.0

    def too_slow(self, queued: int, size: int) -> bool:
        """Whether to cut the client off instead of writing more.

        Parameters
        ----------
        queued : int
            Bytes outstanding now.
        size : int
            Bytes about to be written.
        """
        if queued <= self.limit_bytes:
            self.behind = False
            return False
        if not self.behind or queued < self._left:
            self._since = self._clock()
        self.behind, self._left = True, queued + size
        return queued > MAX_QUEUE_FACTOR * self.limit_bytes or self._clock() - self._since > STALL_SECONDS


class StreamSink:
    """What the two sinks that own a TCP connection share: all bytes of one turn leave in one write.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection.
    limit_bytes : int
        See `SlowReader`.
    cut_off : callable
        Told when that happens.
    turns : Turns, optional
        Says when a turn ends; without it every write leaves at once.
    """

    __slots__ = ("_cut_off", "_held", "_held_bytes", "_reader", "_transport", "_turns", "closing")

    def __init__(
        self,
        transport: asyncio.Transport,
        limit_bytes: int,
        cut_off: Callable[[], object],
        turns: Turns | None = None,
    ) -> None:
        self._transport = transport
        self._reader = SlowReader(limit_bytes)
        self._cut_off = cut_off
        self._turns = turns
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.closing = False

    @property
    def queued_bytes(self) -> int:
        if self._transport.is_closing():
            return 0
        return self._held_bytes + self._transport.get_write_buffer_size()

    def _send(self, data: bytes) -> None:
        """Hold bytes until the turn ends, or until there are many."""
        if self.closing:
            return
        held = self._held
        held.append(data)
        self._held_bytes += len(data)
        if self._turns is None or self._held_bytes > MAX_HELD_BYTES:
            self.flush()
        elif len(held) == 1:
            self._turns.write_at_end(self)

    def flush(self) -> None:
        """Write what is held."""
        held, transport = self._held, self._transport
        if not held:
            return
        data = held[0] if len(held) == 1 else self._joined(held)
        held.clear()
        self._held_bytes = 0
        if transport.is_closing():
            return
        queued, reader = transport.get_write_buffer_size(), self._reader
        # Looked at before the write: one message over the limit is no slow client. Not looked
        # at where nothing is outstanding, which is the rule.
        if (queued or reader.behind) and reader.too_slow(queued, len(data)):
            self._cut_off()
            transport.abort()
            return
        transport.write(data)

    def _joined(self, held: list[bytes]) -> bytes:
        return b"".join(held)

    def abort(self) -> None:
        if not self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()
