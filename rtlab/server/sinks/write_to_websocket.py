"""The sink that writes frames to a WebSocket."""

from __future__ import annotations

import asyncio

from rtlab.protocol.json_and_messagepack_codecs import Codec
from rtlab.protocol.permessage_deflate import Deflate, Deflater
from rtlab.protocol.websocket_framing import BINARY, PING, PONG, TEXT, close_frame, websocket_frame
from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.frames_encoded_once import Burst, EncodedFrame, shared_form
from rtlab.server.sinks.sink_interface import HIGH_WATER_BYTES, StreamSink, write_each

__all__ = ["WebSocketSink"]


class WebSocketSink(StreamSink):
    """Frames on a WebSocket.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection, after the upgrade.
    codec : Codec
        The negotiated codec.
    deflate : Deflate or None
        The negotiated compression, if any. With context takeover, each connection compresses for
        itself; without, connections with the same parameters share each compressed frame.
    turns : Turns, optional
        See `StreamSink`.
    close_timeout : float
        Seconds until a client that does not answer the close frame is cut off.
    """

    __slots__ = ("_close_timeout", "_deflater", "_form", "_taken", "_unanswered", "codec")
    transport: str = "websocket"

    def __init__(
        self,
        transport: asyncio.Transport,
        codec: Codec,
        *,
        deflate: Deflate | None = None,
        turns: Turns | None = None,
        close_timeout: float = 2.0,
    ) -> None:
        super().__init__(transport, turns)
        self.codec = codec
        takeover = deflate is not None and not deflate.server_no_context_takeover
        self._deflater = Deflater(deflate) if deflate is not None and takeover else None
        self._form = codec if deflate is None or takeover else shared_form(codec, deflate)
        self._close_timeout = close_timeout
        self._unanswered = 0  # pings since the client was last heard; -1 while the server reads nothing
        # Bytes that the client had taken at the last heartbeat, if the server read nothing and some waited.
        self._taken: int | None = None

    def write(self, frame: EncodedFrame, position: int) -> None:
        if self._deflater is None:
            self._send(frame.websocket(self._form))
        elif not (self.closing or self._transport.is_closing()):
            opcode = BINARY if self.codec.binary else TEXT
            self._send(websocket_frame(opcode, self._deflater(frame.encoded(self.codec)), 0x40))

    def write_burst(self, burst: Burst, position: int) -> None:
        if self._deflater is not None:
            write_each(self, burst, position)
            return
        data = burst.websockets.get(self._form) or burst.websocket(self._form)
        if not burst.alone or self._held or self.closing:
            self._send(data)
            return
        transport = self._transport
        if not transport.is_closing():  # as in `_write`, which would cost each delivery 1.5 %
            transport.write(data)
            self.written_bytes += len(data)
            self.congested = transport.get_write_buffer_size() > HIGH_WATER_BYTES

    def close(self, code: int, reason: str = "") -> None:
        if self.closing:
            return
        self._send(close_frame(code, reason))
        self.flush()
        self.closing = True
        self.close_code = code
        # Nobody awaits the client's close frame: the timer ends a connection that has not ended by itself.
        asyncio.get_running_loop().call_later(self._close_timeout, self._transport.abort)

    def end(self) -> None:
        """Write what is held, and nothing after it: somebody else sends a close frame now."""
        self.flush()
        self.closing = True

    def answer_close(self, code: int) -> None:
        """Finish the closing handshake that the client began, or that it answers."""
        self.close(code)
        self._transport.close()

    def heard(self) -> None:
        """Note that the client lives."""
        self._unanswered = 0

    def not_reading(self) -> None:
        """Note that the server itself reads nothing until `heard`: a client cannot answer pings.

        It shows that it lives by taking what was sent: a client that takes nothing would stay for ever.
        """
        self._unanswered = -1
        self._taken = None

    def pong(self, data: bytes) -> None:
        """Answer a ping (RFC 6455 §5.5.3)."""
        self._send(websocket_frame(PONG, data))

    def heartbeat(self) -> bool:
        """Ping a client; end the connection of one that has said or taken nothing since the last ping."""
        if self._unanswered > 0 or (self._unanswered < 0 and self._takes_nothing()):
            self.abort()
            return False
        if not self.closing:
            self._unanswered += self._unanswered == 0
            self._send(websocket_frame(PING, b""))
        return True

    def _takes_nothing(self) -> bool:
        """Whether bytes wait for the client, as at the last heartbeat, and it has taken none since."""
        waiting, before = self._transport.get_write_buffer_size(), self._taken
        # With TLS a ping adds more bytes than were written: then the difference decreases.
        self._taken = self.written_bytes - waiting if waiting else None
        return self._taken is not None and before is not None and self._taken <= before
