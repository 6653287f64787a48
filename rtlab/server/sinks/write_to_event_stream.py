"""The sink that writes frames to a stream of server-sent events."""

from __future__ import annotations

import asyncio
from typing import Final

from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.frames_encoded_once import Burst, EncodedFrame, RoomPosition
from rtlab.server.last_event_id_cursor import CursorWriter
from rtlab.server.sinks.sink_interface import StreamSink, write_each

__all__ = ["EventStreamSink"]

#: Seconds that a response may take to end after `close`.
CLOSE_TIMEOUT: Final = 2.0


class EventStreamSink(StreamSink):
    """Events on a stream of server-sent events, each with its cursor as ``id``.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection, after the response's headers.
    session_id : str
        The session's id, for the cursors.
    positions : dict
        How far each room was read at the position at which the stream starts.
    chunked : bool
        Whether the response uses HTTP/1.1's chunked coding, which an HTTP/1.0 proxy does not know.
    turns : Turns, optional
        See `StreamSink`.
    """

    __slots__ = ("_chunked", "_cursors", "ended")
    transport: str = "sse"

    def __init__(
        self,
        transport: asyncio.Transport,
        session_id: str,
        positions: dict[str, RoomPosition],
        *,
        chunked: bool = True,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(transport, turns)
        self._cursors = CursorWriter(session_id, positions.values())
        self._chunked = chunked
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, frame: EncodedFrame, position: int) -> None:
        for change in frame.positions:
            self._cursors.move(change)
        self._event(b"%b%b\n\n" % (frame.event(), self._cursors.at(position).encode()))

    def write_burst(self, burst: Burst, position: int) -> None:
        write_each(self, burst, position)

    def _event(self, data: bytes) -> None:
        self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def close(self, code: int, reason: str = "") -> None:
        """End the stream; the client reconnects by itself. The code is not sent: event streams have none."""
        self.flush()
        if self.close_code is None:
            self.close_code = code
        self.closing = True
        if not self.ended.done():
            self.ended.set_result(None)
            # A client that does not read must not keep the response from ending.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)

    def heartbeat(self) -> bool:
        self._event(b": heartbeat\n\n")
        return True
