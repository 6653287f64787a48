"""Reads a WebSocket on a bare connection as a client must: answers pings, and counts what it receives."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from typing import Final

from rtlab.experiments.endpoint.craft_invalid_websocket_frames import ReceivedFrame, raw_frame
from rtlab.experiments.endpoint.timed_connect_steps import Wire
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG, TEXT

__all__ = ["WatchedSocket"]

#: Limit on the inflated size of the first message, which is read only to recognise what it is.
_MAX_TEXT_BYTES: Final = 1 << 20


class WatchedSocket:
    """Reads the frames of an open WebSocket.

    Parameters
    ----------
    wire : Wire
        A connection whose upgrade the server has answered with 101.

    Attributes
    ----------
    pings : list of float
        When each ping frame of the server was received, in seconds on the monotonic clock.
    messages : int
        Number of text messages received so far.
    first_text : bytes
        The first text message, inflated; empty if there was none.
    end : str
        How the connection ended, in words; empty while it is open.
    code : int or None
        Code of the server's close frame; None if there was no close frame.
    ended_after : float
        Seconds from the creation of this object to the end of the connection; 0 while it is open.
    """

    def __init__(self, wire: Wire) -> None:
        self.pings: list[float] = []
        self.messages = 0
        self.first_text = b""
        self.end = ""
        self.code: int | None = None
        self.ended_after = 0.0
        self._wire = wire
        self._began = time.monotonic()

    async def next(self, timeout: float) -> ReceivedFrame | None:
        """Return the next frame, after answering it if it is a ping (RFC 6455 §5.5.2); None at the end.

        Raises
        ------
        TimeoutError
            When no frame arrived for `timeout` seconds.
        """
        if self.end:
            return None
        frame = await self._wire.frame(timeout)
        if frame is None or frame.opcode == CLOSE:
            self.code = None if frame is None else frame.code
            self.end = "without a close frame" if frame is None else f"with close code {frame.code}"
            self.ended_after = time.monotonic() - self._began
            return None
        if frame.opcode == PING:
            self.pings.append(time.monotonic())
            await self._wire.send(raw_frame(PONG, frame.payload))
        elif frame.opcode == TEXT:
            if not self.messages:
                self.first_text = _text(frame)
            self.messages += 1
        return frame

    async def round_trip(self, payload: bytes, timeout: float) -> float | None:
        """Ping the server; return the seconds until its pong, or None if none arrives in time."""
        began = time.perf_counter()
        await self._wire.send(raw_frame(PING, payload))
        with contextlib.suppress(TimeoutError):
            # One timeout for all frames: a server that keeps sending must not postpone it for ever.
            async with asyncio.timeout(timeout):
                while (frame := await self.next(timeout)) is not None:
                    if frame.opcode == PONG and frame.payload == payload:
                        return time.perf_counter() - began
        return None

    async def until_text(self, timeout: float) -> None:
        """Read until the first message, the end, or the timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self.messages and not self.end:
                    await self.next(timeout)


def _text(frame: ReceivedFrame) -> bytes:
    """Return a first message's text, inflated (RFC 7692 §7.2.2); empty if it cannot be inflated."""
    if not frame.rsv:
        return frame.payload
    try:
        return zlib.decompressobj(-15).decompress(frame.payload + b"\0\0\xff\xff", _MAX_TEXT_BYTES)
    except zlib.error:
        return b""
