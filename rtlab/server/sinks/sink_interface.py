"""A sink writes frames to one connection; it has no task and no queue of its own.

It collects what is written in one turn of the loop, and passes it to the connection's transport
at the end of the turn. While the transport's buffer holds too much, the sink is *congested*, and its
session holds frames back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.frames_encoded_once import Burst, EncodedFrame

__all__ = ["HIGH_WATER_BYTES", "MAX_HELD_BYTES", "Sink", "StreamSink", "bound_send_buffer", "write_each"]

#: Bytes: while a transport buffers more than this, its sink is congested, and frames wait in the session.
HIGH_WATER_BYTES: Final = 64 * 1024

#: Bytes: what is written in one turn is passed to the transport before its end if it is more than this.
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

    All of them are plain functions that never block; `write` gets a `EncodedFrame`, and
    ``frame.encoded(JSON)`` gives its bytes, encoded once for everybody.
    """

    @property
    def transport(self) -> str:
        """``"websocket"``, ``"sse"``, ``"longpoll"`` or ``"webrtc"``."""
        ...

    @property
    def written_bytes(self) -> int:
        """Bytes handed to the connection."""
        ...

    @property
    def close_code(self) -> int | None:
        """The close code, also of transports without close frames; None while open, and if it broke."""
        ...

    @property
    def queued_bytes(self) -> int:
        """Bytes written that the operating system has not taken yet."""
        ...

    @property
    def congested(self) -> bool:
        """Whether further frames should wait until `when_writable` calls back."""
        ...

    def when_writable(self, then: Callable[[], object]) -> None:
        """Call `then` once, when the connection takes more, or has ended."""
        ...

    def write(self, frame: EncodedFrame, position: int) -> None:
        """Send one frame. Never raises, never blocks."""
        ...

    def write_burst(self, burst: Burst, position: int) -> None:
        """Send several frames; `position` is that of the last one. Never raises, never blocks."""
        ...

    def flush(self) -> None:
        """Pass what is held for the end of the turn to the transport now."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Begin an orderly end with a WebSocket close code; bounded in time, idempotent."""
        ...

    def abort(self) -> None:
        """End at once; idempotent."""
        ...

    def heartbeat(self) -> bool:
        """Send a heartbeat; return False if the client has not answered the previous one."""
        ...


def write_each(sink: Sink, burst: Burst, position: int) -> None:
    """Write a burst's frames one by one, for sinks that do not profit from writing them together."""
    first = position - len(burst.frames) + 1
    for at, frame in enumerate(burst.frames, first):
        sink.write(frame, at)


def bound_send_buffer(transport: asyncio.Transport, size_bytes: int | None) -> None:
    """Limit the system's send buffer (``SO_SNDBUF``): data that the peer has not acknowledged yet.

    Parameters
    ----------
    transport : asyncio.Transport
        The transport of a TCP connection.
    size_bytes : int or None
        The size; Linux doubles it, to allow for its own bookkeeping. None changes nothing.
    """
    connection = transport.get_extra_info("socket")
    if size_bytes is not None and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)


class StreamSink:
    """Base of the two sinks that own a TCP connection: all bytes of one turn leave in one write.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection.
    turns : Turns, optional
        Flushes the sink at the end of a turn; without it every write leaves at once.
    """

    __slots__ = (
        "__weakref__",
        "_held",
        "_held_bytes",
        "_then",
        "_transport",
        "_turns",
        "_waiting",
        "close_code",
        "closing",
        "congested",
        "written_bytes",
    )

    def __init__(self, transport: asyncio.Transport, turns: Turns | None = None) -> None:
        self._transport = transport
        self._turns = turns
        self._held: list[bytes] = []
        self._held_bytes = 0
        # Exists only while somebody waits for the connection to take more; it ends with the connection.
        self._waiting: asyncio.Task[None] | None = None
        self._then: tuple[Callable[[], object], ...] = ()
        self.closing = False
        self.close_code: int | None = None
        self.congested = False
        self.written_bytes: int = 0
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    @property
    def queued_bytes(self) -> int:
        if self._transport.is_closing():
            return 0
        return self._held_bytes + self._transport.get_write_buffer_size()

    def _send(self, data: bytes) -> None:
        """Hold bytes until the turn ends, or until they exceed `MAX_HELD_BYTES`."""
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
        """Write the held bytes."""
        held = self._held
        if not held:
            return
        data = b"".join(held)  # does not copy a single one
        held.clear()
        self._held_bytes = 0
        self._write(data)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        transport.write(data)
        self.written_bytes += len(data)
        self.congested = transport.get_write_buffer_size() > HIGH_WATER_BYTES

    def when_writable(self, then: Callable[[], object]) -> None:
        """See `Sink.when_writable`; the session and the one who reads from the client may wait both."""
        self._then = (*self._then, then)
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._wait(), name="slow consumer")

    async def _wait(self) -> None:
        # The transport resumes aiohttp's protocol; asyncio.StreamWriter.drain() waits in the same way.
        protocol: Any = self._transport.get_protocol()
        with suppress(ConnectionError):
            await protocol._drain_helper()
        self.congested = False
        then, self._then, self._waiting = self._then, (), None
        for call in then:
            call()

    def abort(self) -> None:
        if not self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()
