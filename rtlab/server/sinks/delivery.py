"""How a frame leaves: one sink per connection, no task, no queue of its own.

A sink writes straight into its connection's transport and looks at how much the
transport still holds: a client that does not read is cut off, and costs nobody else.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from rtlab.protocol.codecs import Codec
from rtlab.protocol.websocket_frames import BINARY, TEXT, close_frame, websocket_frame
from rtlab.server.cursor import format_cursor
from rtlab.server.frames import Frame, Mark

__all__ = ["Deflate", "EventStreamSink", "PollSink", "Sink", "WebSocketSink"]

#: The four bytes that RFC 7692 §7.2.1 takes off each message.
DEFLATE_TAIL: Final = b"\x00\x00\xff\xff"


class Sink(Protocol):
    """One connection, as a session sees it: the seam for a new transport.

    To add a transport, write a sink and, for each connection,

    1. ``opened = node.open(Opening(...))``: resumes or begins a session;
    2. ``node.attach(opened, sink)``: writes the welcome and what was missed;
       from then on every frame of the session arrives in `write`;
    3. ``node.receive_data(session, data, codec)`` for each incoming message;
    4. ``node.detach(session, sink)`` when the connection has ended, whatever
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

    def close(self, code: int, reason: str = "") -> None:
        """Begin an orderly end with a WebSocket close code; bounded in time, idempotent."""
        ...

    def abort(self) -> None:
        """End at once; idempotent."""
        ...

    def heartbeat(self) -> None:
        """Write whatever keeps a quiet connection alive; nothing if it needs nothing."""
        ...


class Deflate:
    """permessage-deflate for one connection (RFC 7692).

    Parameters
    ----------
    window_bits : int
        9 to 15, as negotiated. Memory: 2^(window_bits + 2) + 2^17 bytes.
    takeover : bool
        Whether a message may refer to earlier ones.
    """

    __slots__ = ("_compressor", "_takeover", "_window_bits")

    def __init__(self, window_bits: int = 15, *, takeover: bool = True) -> None:
        self._window_bits = window_bits
        self._takeover = takeover
        self._compressor = self._new()

    def _new(self) -> zlib._Compress:  # pyright: ignore[reportPrivateUsage]
        return zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -self._window_bits)

    def __call__(self, data: bytes) -> bytes:
        """Compress one message."""
        if not self._takeover:
            self._compressor = self._new()
        out = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return out.removesuffix(DEFLATE_TAIL)


class _StreamSink:
    """What the two sinks that own a TCP connection share.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection.
    limit_bytes : int
        A client whose transport holds more than this when the next frame comes is cut off.
    cut_off : callable
        Told when that happens.
    """

    __slots__ = ("_cut_off", "_limit", "_transport", "closing")

    def __init__(self, transport: asyncio.Transport, limit_bytes: int, cut_off: Callable[[], object]) -> None:
        self._transport = transport
        self._limit = limit_bytes
        self._cut_off = cut_off
        self.closing = False

    @property
    def queued_bytes(self) -> int:
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def _send(self, data: bytes) -> None:
        transport = self._transport
        if self.closing or transport.is_closing():
            return
        # Looked at before the write: one message over the limit is no slow client.
        if transport.get_write_buffer_size() > self._limit:
            self._cut_off()
            transport.abort()
            return
        transport.write(data)

    def abort(self) -> None:
        if not self._transport.is_closing() or self.queued_bytes:
            self._transport.abort()


class WebSocketSink(_StreamSink):
    """Frames on a WebSocket.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection, after the upgrade.
    codec : Codec
        The negotiated one.
    limit_bytes : int
        See `_StreamSink`.
    deflate : Deflate or None
        Compression, if negotiated.
    cut_off : callable
        Told when the client was too slow.
    close_timeout : float
        Seconds until a client that does not answer the close frame is cut off.
    """

    __slots__ = ("_close_timeout", "_deflate", "codec")
    transport: ClassVar[str] = "websocket"

    def __init__(
        self,
        transport: asyncio.Transport,
        codec: Codec,
        *,
        limit_bytes: int,
        deflate: Deflate | None = None,
        cut_off: Callable[[], object] = lambda: None,
        close_timeout: float = 2.0,
    ) -> None:
        super().__init__(transport, limit_bytes, cut_off)
        self.codec = codec
        self._deflate = deflate
        self._close_timeout = close_timeout

    def write(self, frame: Frame, position: int) -> None:
        if self._deflate is None:
            self._send(frame.websocket(self.codec))
        elif not (self.closing or self._transport.is_closing()):
            opcode = BINARY if self.codec.binary else TEXT
            self._send(websocket_frame(opcode, self._deflate(frame.encoded(self.codec)), 0x40))

    def close(self, code: int, reason: str = "") -> None:
        if self.closing:
            return
        self._send(close_frame(code, reason))
        self.closing = True
        # No one waits for the answer; the timer outlives a connection that ends by itself.
        asyncio.get_running_loop().call_later(self._close_timeout, self._transport.abort)

    def answer_close(self, code: int) -> None:
        """Finish the closing handshake that the client began, or that it answers."""
        self.close(code)
        self._transport.close()

    def heartbeat(self) -> None:
        """Nothing: aiohttp sends the pings, and ends a connection that does not answer."""


class EventStreamSink(_StreamSink):
    """Events on a stream of server-sent events, each with its cursor as ``id``.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection, after the response's headers.
    session_id : str
        For the cursor.
    marks : dict
        Where each room stands at the position at which the stream starts.
    limit_bytes : int
        See `_StreamSink`.
    chunked : bool
        Whether the response uses HTTP/1.1's chunks; an HTTP/1.0 proxy cannot.
    cut_off : callable
        Told when the client was too slow.
    """

    __slots__ = ("_chunked", "_marks", "_session_id", "ended")
    transport: ClassVar[str] = "sse"

    def __init__(
        self,
        transport: asyncio.Transport,
        session_id: str,
        marks: dict[str, Mark],
        *,
        limit_bytes: int,
        chunked: bool = True,
        cut_off: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(transport, limit_bytes, cut_off)
        self._session_id = session_id
        self._marks = marks
        self._chunked = chunked
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, frame: Frame, position: int) -> None:
        for mark in frame.marks:
            if mark.offset is None:
                self._marks.pop(mark.room_id, None)
            else:
                self._marks[mark.room_id] = mark
        cursor = format_cursor(self._session_id, position, self._marks.values())
        self._event(frame.event() + cursor.encode() + b"\n\n")

    def _event(self, data: bytes) -> None:
        self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def close(self, code: int, reason: str = "") -> None:
        """End the stream; the client reconnects by itself, so the code goes unsaid."""
        self.closing = True
        if not self.ended.done():
            self.ended.set_result(None)

    def heartbeat(self) -> None:
        self._event(b": heartbeat\n\n")


class PollSink:
    """A poll that waits. It carries nothing: it wakes the handler, which answers."""

    __slots__ = ("_woken", "code")
    transport: ClassVar[str] = "longpoll"

    def __init__(self) -> None:
        self._woken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.code: int | None = None

    @property
    def queued_bytes(self) -> int:
        return 0

    def write(self, frame: Frame, position: int) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    async def wait(self, timeout: float) -> None:
        """Return when there is something to answer, or at the time limit."""
        await asyncio.wait((self._woken,), timeout=timeout)

    def close(self, code: int, reason: str = "") -> None:
        self.code = code
        if not self._woken.done():
            self._woken.set_result(None)

    def abort(self) -> None:
        self.close(1006)

    def heartbeat(self) -> None:
        """Nothing: a poll ends by itself."""
