"""Frames on a stream of server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from rtlab.server.cursor import format_cursor
from rtlab.server.frames import Frame, RoomPosition
from rtlab.server.sinks.base import StreamSink
from rtlab.server.turns import Turns

__all__ = ["EventStreamSink"]


class EventStreamSink(StreamSink):
    """Events on a stream of server-sent events, each with its cursor as ``id``.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection, after the response's headers.
    session_id : str
        For the cursor.
    positions : dict
        Where each room stands at the position at which the stream starts.
    limit_bytes : int
        See `SlowReader`.
    chunked : bool
        Whether the response uses HTTP/1.1's chunks; an HTTP/1.0 proxy cannot.
    cut_off : callable
        Told when the client was too slow.
    turns : Turns, optional
        See `StreamSink`.
    """

    __slots__ = ("_chunked", "_positions", "_session_id", "ended")
    transport: ClassVar[str] = "sse"

    def __init__(
        self,
        transport: asyncio.Transport,
        session_id: str,
        positions: dict[str, RoomPosition],
        *,
        limit_bytes: int,
        chunked: bool = True,
        cut_off: Callable[[], object] = lambda: None,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(transport, limit_bytes, cut_off, turns)
        self._session_id = session_id
        self._positions = positions
        self._chunked = chunked
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, frame: Frame, position: int) -> None:
        for change in frame.positions:
            if change.offset is None:
                self._positions.pop(change.room_id, None)
            else:
                self._positions[change.room_id] = change
        cursor = format_cursor(self._session_id, position, self._positions.values())
        self._event(frame.event() + cursor.encode() + b"\n\n")

    def _event(self, data: bytes) -> None:
        self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def close(self, code: int, reason: str = "") -> None:
        """End the stream; the client reconnects by itself, so the code goes unsaid."""
        self.flush()
        self.closing = True
        if not self.ended.done():
            self.ended.set_result(None)

    def heartbeat(self) -> None:
        self._event(b": heartbeat\n\n")
