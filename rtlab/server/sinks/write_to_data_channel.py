"""The sink that writes frames to a WebRTC data channel.

Importing this costs 0.2 s and 36 MiB, because of aiortc: `webrtc_offer` does it at the first offer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtlab.errors import MessageTooLarge
from rtlab.protocol.json_and_messagepack_codecs import Codec
from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import Burst, EncodedFrame, error_message
from rtlab.server.sinks.sink_interface import write_each
from rtlab.webrtc.data_channel_framing_and_pings import DataLink

__all__ = ["DataChannelSink"]


class DataChannelSink:
    """Frames on a data channel.

    Parameters
    ----------
    link : DataLink
        The channel.
    codec : Codec
        The codec that the channel's ``protocol`` names.
    """

    transport: str = "webrtc"

    def __init__(self, link: DataLink, codec: Codec) -> None:
        self.codec = codec
        self._link = link
        self.written_bytes = 0
        self.close_code: int | None = None
        # Exists only while the session waits for the channel to take more; it ends with the link.
        self._waiting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing is not None

    @property
    def queued_bytes(self) -> int:
        return 0 if self._link.ended is not None else self._link.buffered_bytes

    def write(self, frame: EncodedFrame, position: int) -> None:
        link = self._link
        if self._closing is not None or link.ended is not None:
            return
        data = frame.encoded(self.codec)
        try:
            self._send(data)
        except MessageTooLarge as error:
            substitute = EncodedFrame(_substitute(frame.message, error))
            try:
                self._send(substitute.encoded(self.codec))
            except MessageTooLarge:
                # Even the substitute is too large, and leaving the message out would be a silent gap.
                self.close(1009, f"your max-message-size is too small: {error}")

    def write_burst(self, burst: Burst, position: int) -> None:
        write_each(self, burst, position)

    @property
    def congested(self) -> bool:
        """Whether the channel holds more than its high-water mark."""
        return self._link.ended is None and self._link.congested

    def when_writable(self, then: Callable[[], object]) -> None:
        """See `Sink.when_writable`."""
        self._waiting = asyncio.create_task(self._wait(then), name="slow consumer")

    async def _wait(self, then: Callable[[], object]) -> None:
        await self._link.drained()
        then()

    def _send(self, data: bytes) -> None:
        self._link.send(data if self.codec.binary else data.decode())
        self.written_bytes += len(data)

    def flush(self) -> None:
        """Do nothing: the sink holds nothing, and the channel itself decides when it sends."""

    def close(self, code: int, reason: str = "") -> None:
        if self._closing is None:
            self.close_code = code
            self._closing = asyncio.create_task(self._link.close(code, reason), name="webrtc goodbye")

    async def closed(self) -> None:
        """Wait until a closing that `close` began is finished."""
        if self._closing is not None:
            await self._closing

    def abort(self) -> None:
        self._link.abort()

    def heartbeat(self) -> bool:
        """Send a heartbeat; whether the client lives, ICE's consent checks find out every 5 s (RFC 7675)."""
        self._link.beat()
        return True


def _substitute(of: Message, error: MessageTooLarge) -> Message:
    """Return an ``error`` message to be sent in place of another, because the client counts messages."""
    text = f"a {of.type!r:.60} message cannot pass your data channel: {error}"
    substitute = error_message("too_large", text, of.id)
    substitute.room_id, substitute.offset, substitute.epoch = of.room_id, of.offset, of.epoch
    return substitute
