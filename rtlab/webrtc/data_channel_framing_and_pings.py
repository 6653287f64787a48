"""Adds to a data channel what a WebSocket has and it lacks: pings, close codes and backpressure.

A data channel carries messages and nothing else. Both ends of rtlab's channels add the three control
frames of RFC 6455 §5.5 as small binary messages: one byte with the opcode (8 close, 9 ping, 10 pong),
then the body that the WebSocket frame would have. No message begins with such a byte: JSON travels as
text, and a MessagePack map begins with a byte of at least 0x80. A browser may ignore these frames: they
are the only binary ones on a JSON channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError
from aiortc.rtcsctptransport import WEBRTC_BINARY, WEBRTC_STRING

from rtlab.errors import MessageTooLarge, TransportClosed
from rtlab.protocol.close_codes import cut_reason
from rtlab.protocol.json_and_messagepack_codecs import utf8_bytes
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection
from rtlab.webrtc.sdp_reader_and_editor import max_message_bytes

__all__ = ["HIGH_WATER_BYTES", "DataLink", "check_opening", "check_reliability"]

#: `DataLink.drained` waits while more bytes than this are buffered, and wakes at half of it.
HIGH_WATER_BYTES: Final = 1 << 20

#: What aiortc raises for malformed control of a data channel.
_MALFORMED: Final = (AssertionError, UnicodeDecodeError)

_MAX_PONG_BYTES: Final = 125  # RFC 6455 §5.5: the most that a control frame holds


def check_reliability(max_retransmits: int | None, max_packet_life_time: float | None) -> None:
    """Raise ValueError if a data channel cannot have these reliability options.

    Parameters
    ----------
    max_retransmits : int or None
        Retransmissions after which a lost packet is given up; None for no limit.
    max_packet_life_time : float or None
        Seconds after which a lost packet is given up; None for no limit. At most one of the two
        options may be given (RFC 8831 §6.4).

    Raises
    ------
    ValueError
        Both are given, or one is out of range (16 bits on the wire).
    """
    if max_retransmits is not None and max_packet_life_time is not None:
        raise ValueError(
            "expected max_retransmits or max_packet_life_time, got both: "
            "a lost packet is given up after a count or after a time; choose one"
        )
    if max_retransmits is not None and not 0 <= max_retransmits <= 65_535:
        raise ValueError(f"expected max_retransmits from 0 to 65,535, got {max_retransmits}")
    if max_packet_life_time is not None and not 0.001 <= max_packet_life_time <= 65.535:
        raise ValueError(f"expected max_packet_life_time from 0.001 to 65.535 s, got {max_packet_life_time}")


def check_opening(sctp: Any, has_link: Callable[[], bool], give_up: Callable[[], None]) -> None:
    """Watch for a malformed request for a channel (RFC 8832 §5.1), until there is a `DataLink`.

    aiortc would raise inside the task that receives all packets, which would die with a traceback in the
    log. Once there is a channel, its `DataLink` sees to that.

    Parameters
    ----------
    sctp : RTCSctpTransport
        The transport of the peer connection that waits for a channel.
    has_link : callable
        Whether the `DataLink` of a channel has been made.
    give_up : callable
        Called when the peer's request is malformed: no channel will come.
    """
    handle = sctp._data_channel_receive

    async def checked(stream: int, kind: int, data: bytes) -> None:
        try:
            await handle(stream, kind, data)
        except _MALFORMED:
            if has_link():
                raise
            give_up()

    sctp._data_channel_receive = checked


def _acknowledge_after_handling(sctp: Any) -> None:
    """Let a waiting task receive a message before aiortc acknowledges that message (SACK).

    aiortc emits a message, and then encrypts and sends the acknowledgement in the same turn of
    the event loop. That takes about 0.2 ms, by which every message would be delayed.
    """
    acknowledge = sctp._send_sack

    async def later() -> None:
        await asyncio.sleep(0)
        await acknowledge()

    sctp._send_sack = later


class DataLink:
    """One open data channel and the peer connection below it.

    Parameters
    ----------
    peer : LoopbackPeerConnection
        The peer connection, which is closed together with the link.
    channel : RTCDataChannel
        The channel, open or opening.
    on_frame : callable
        Called with each message, str or bytes, in the order of their delivery. It must
        not raise, because aiortc would end the connection.
    on_close : callable
        Called once, with a `TransportClosed` that has the code and the reason.
    high_water_bytes : int
        The most bytes that may be buffered in the channel before `drained` waits.
    clock : callable
        Returns monotonic seconds, for `ping` and `heard`.

    Attributes
    ----------
    ended : TransportClosed or None
        Why the link has ended; None while it has not.
    heard : float
        When anything last arrived on the channel, on `clock`, control frames included.
    """

    def __init__(
        self,
        peer: LoopbackPeerConnection,
        channel: RTCDataChannel,
        on_frame: Callable[[str | bytes], None],
        on_close: Callable[[TransportClosed], None],
        *,
        high_water_bytes: int = HIGH_WATER_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._high_water_bytes = high_water_bytes
        self.peer = peer
        self.channel = channel
        self.ended: TransportClosed | None = None
        self.heard = 0.0
        self._on_frame = on_frame
        self._on_close = on_close
        self._clock = clock
        self._closing = False
        self._changed = asyncio.Event()  # the channel has opened, or the link has ended
        self._done = asyncio.Event()
        self._low = asyncio.Event()
        self._limit: int | None = None
        self._pings: dict[bytes, asyncio.Future[float]] = {}
        self._ping_ids = itertools.count()
        self._pong = b""  # answers the newest ping; it waits while the link is congested (RFC 6455 §5.5.3)
        self._paused: tuple[Any, asyncio.Event] | None = None
        self._shutdown: asyncio.Future[None] | None = None
        channel.bufferedAmountLowThreshold = high_water_bytes // 2
        channel.on("open", self._changed.set)
        channel.on("message", self._received)
        channel.on("bufferedamountlow", self._low.set)
        channel.on("bufferedamountlow", self._answer_ping)
        channel.on("close", self._lost)
        peer.on("connectionstatechange", self._state_changed)
        _acknowledge_after_handling(channel.transport)
        self._check_received(channel.transport)

    async def opened(self) -> None:
        """Return when messages can be sent; raise `TransportClosed` if the link ends first."""
        while self.channel.readyState == "connecting" and self.ended is None:
            await self._changed.wait()
        if self.ended is not None:
            raise self.ended

    # Sending

    def send(self, frame: str | bytes) -> None:
        """Pass one message to the channel, without waiting.

        Raises
        ------
        TransportClosed
            The link has ended.
        MessageTooLarge
            The message exceeds the peer's ``a=max-message-size``.
        """
        if self.ended is not None:
            raise self.ended
        size = utf8_bytes(frame)
        limit = self.max_message_bytes
        if limit is not None and size > limit:
            raise MessageTooLarge(size, limit)
        self._write(frame)

    @property
    def max_message_bytes(self) -> int | None:
        """The largest message that the peer accepts, in bytes; None for no limit."""
        if self._limit is None:
            self._limit = max_message_bytes(self.peer.remoteDescription.sdp) or 0
        return self._limit or None

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait in the channel to be sent."""
        return self.channel.bufferedAmount

    @property
    def congested(self) -> bool:
        """Whether more bytes are buffered than the high-water mark."""
        return self.channel.bufferedAmount > self._high_water_bytes

    async def drained(self) -> None:
        """Return when no more than the high-water mark is buffered, or the link has ended."""
        while self.ended is None and self.congested:
            self._low.clear()
            await self._low.wait()

    async def ping(self) -> float:
        """Return a round trip over the channel, in seconds.

        Raises
        ------
        TransportClosed
            The link has ended, or ends before the answer.
        """
        if self.ended is not None:
            raise self.ended
        body = next(self._ping_ids).to_bytes(8, "big")
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pings[body] = answer
        start = self._clock()
        try:
            self._write(bytes((PING,)) + body)
            return await answer - start
        finally:
            del self._pings[body]

    def beat(self) -> None:
        """Send a ping without waiting for its answer, to show the peer that this end is alive."""
        if self.ended is None:
            self._write(bytes((PING,)))

    # Receiving

    def pause(self) -> None:
        """Stop reading packets, so that the sender has to slow down (backpressure).

        aiortc neither reads on demand nor honours SCTP's advertised receiver window. But unread packets
        are not acknowledged, so the sender's congestion window fills up. ICE's own checks go on.
        """
        if self._paused is None:
            ice: Any = self.channel.transport.transport.transport
            go, receive = asyncio.Event(), ice._recv

            async def later() -> bytes:
                await go.wait()
                return await receive()

            ice._recv = later
            self._paused = (receive, go)

    def resume(self) -> None:
        """Read packets again after `pause`."""
        if self._paused is not None:
            receive, go = self._paused
            self._paused = None
            ice: Any = self.channel.transport.transport.transport
            ice._recv = receive
            go.set()

    def _check_received(self, sctp: Any) -> None:
        """Let the link end where aiortc would raise, inside the task that receives all packets.

        That task would die with a traceback in the log, and the peer would not be told.
        """
        handle, channels = sctp._data_channel_receive, sctp._data_channels

        async def checked(stream: int, kind: int, data: bytes) -> None:
            if kind not in (WEBRTC_STRING, WEBRTC_BINARY):
                try:
                    await handle(stream, kind, data)
                except _MALFORMED:
                    self._fail(1002, "malformed control of a data channel")  # RFC 8832
            elif stream in channels:
                try:
                    frame = data.decode() if kind == WEBRTC_STRING else data
                except UnicodeDecodeError:
                    self._fail(1007, "text that is not UTF-8")
                else:
                    channels[stream].emit("message", frame)

        sctp._data_channel_receive = checked

    def _received(self, frame: str | bytes) -> None:
        self.heard = self._clock()
        if isinstance(frame, bytes) and frame and frame[0] <= PONG:
            self._control(frame[0], frame[1:])
        elif self.ended is None:
            self._on_frame(frame)

    def _control(self, opcode: int, body: bytes) -> None:
        if opcode == PING:
            self._pong = bytes((PONG,)) + body[:_MAX_PONG_BYTES]
            self._answer_ping()
        elif opcode == PONG:
            answer = self._pings.get(body)
            if answer is not None and not answer.done():
                answer.set_result(self._clock())
        elif opcode == CLOSE:
            code = int.from_bytes(body[:2], "big") if len(body) >= 2 else 1005
            if not self._closing:
                self._write(bytes((CLOSE,)) + body)  # RFC 6455 §5.5.1: echo the close frame, once
                self._closing = True
            self._end(TransportClosed(code, body[2:].decode("utf-8", "replace"), clean=True))

    def _answer_ping(self) -> None:
        if self._pong and not self.congested:
            self._write(self._pong)
            self._pong = b""

    def _write(self, frame: str | bytes) -> None:
        with contextlib.suppress(InvalidStateError):  # the channel has just closed; its "close" event follows
            self.channel.send(frame)

    # Ending

    async def close(self, code: int = 1000, reason: str = "", *, timeout: float = 1.0) -> None:
        """Send a close frame, wait for the peer's close frame, and close the peer connection.

        Parameters
        ----------
        code : int
            A WebSocket close code.
        reason : str
            A reason for people; cut to 123 bytes of UTF-8.
        timeout : float
            Seconds to wait for the peer's close frame. On a reliable, ordered channel, that
            frame shows that the peer has received everything sent before.
        """
        if self.ended is None and self.channel.readyState == "open":
            self._closing = True
            self.resume()
            self._write(bytes((CLOSE,)) + code.to_bytes(2, "big") + cut_reason(reason))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._done.wait()
        self.abort(code, reason)
        await self.closed()

    def abort(self, code: int = 1006, reason: str = "aborted") -> None:
        """End at once; the sockets close a moment later, and `closed` waits for that."""
        self._end(TransportClosed(code, reason))
        if self._shutdown is None:
            self._shutdown = asyncio.ensure_future(self.peer.close())

    @property
    def gone(self) -> bool:
        """Whether an aborted link's sockets and tasks are gone."""
        return self._shutdown is not None and self._shutdown.done()

    async def closed(self) -> None:
        """Return when an aborted link's sockets and tasks are gone."""
        if self._shutdown is not None:
            await asyncio.shield(self._shutdown)

    def _fail(self, code: int, reason: str) -> None:
        """End because the peer broke the protocol, with a close frame (RFC 6455 §7.1.7)."""
        if self.ended is None:
            if not self._closing:  # `close` has sent a close frame already (RFC 6455 §5.5.1: only one)
                self._write(bytes((CLOSE,)) + code.to_bytes(2, "big") + cut_reason(reason))
            self._closing = True
            self._end(TransportClosed(code, reason))

    def _lost(self) -> None:
        self._end(TransportClosed(1006, "the data channel was closed without a close frame"))

    def _state_changed(self) -> None:
        if self.peer.connectionState in ("failed", "closed"):
            self._end(TransportClosed(1006, f"the peer connection is {self.peer.connectionState}"))

    def _end(self, error: TransportClosed) -> None:
        if self.ended is not None:
            return
        self.ended = error
        self.resume()
        self._changed.set()
        self._done.set()
        self._low.set()
        for answer in self._pings.values():
            if not answer.done():
                answer.set_exception(error)
        self._on_close(error)
