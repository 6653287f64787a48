"""The rules of RFC 6455 §5 that aiohttp's parser lets pass, checked in front of it.

aiohttp accepts unmasked frames, data frames inside a message whose first fragment was empty,
lengths in a longer form than needed, and the reserved bit of permessage-deflate on control
frames. This module parses frame headers only, and skips payloads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import WebSocketError, WSCloseCode

__all__ = ["StrictFrames"]

_NOTHING: Final = (False, b"")

#: In a frame's first byte: marks a compressed message (RFC 7692 §6).
_RSV1: Final = 0x40

#: The smallest payload length that needs the 16-bit form, and the 64-bit form (RFC 6455 §5.2).
_LEAST: Final = {126: 126, 127: 65_536}


class _Parser(Protocol):
    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...
    def feed_eof(self) -> None: ...


class _Queue(Protocol):
    def set_exception(self, exc: BaseException) -> None: ...


class StrictFrames:
    """Passes a client's bytes on to a parser, up to the first frame that breaks a rule.

    Parameters
    ----------
    parser : aiohttp's WebSocketReader
        Gets all bytes before the refused frame.
    queue : aiohttp's WebSocketDataQueue
        Holds the parser's messages; a refusal is set as its exception, which is read after them.

    Attributes
    ----------
    when_fed : callable or None
        Called after the parser got bytes, or the end of the stream.
    take_message : callable or None
        Called with received bytes that are one whole, uncompressed message, and where its payload begins,
        after the masking key. Returns whether it took the message; the parser gets what it did not take.
    """

    __slots__ = (
        "_between",
        "_failed",
        "_left",
        "_open",
        "_parser",
        "_partial",
        "_queue",
        "take_message",
        "when_fed",
    )

    def __init__(self, parser: _Parser, queue: _Queue) -> None:
        self._parser = parser
        self._queue = queue
        self._left = 0  # bytes of the current frame that are still to come
        self._partial = b""  # the beginning of a header; the parser has it already
        self._open = False  # whether a message has begun and not ended
        self._failed = False
        self._between = True  # whether no frame and no message has begun
        self.when_fed: Callable[[], object] | None = None
        self.take_message: Callable[[bytes, int], bool] | None = None

    def feed_eof(self) -> None:
        """Pass the end of the stream on to the parser."""
        self._parser.feed_eof()
        if self.when_fed is not None:
            self.when_fed()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Check received bytes, and pass them on; same interface as the parser's."""
        if self._between and (start := _payload_of_one_message(data)):
            take = self.take_message
            if take is not None and not data[0] & _RSV1 and take(data, start):
                return _NOTHING
            found = self._parser.feed_data(data)
        else:
            found = self._checked(data)
        if self.when_fed is not None:
            self.when_fed()
        return found

    def _checked(self, data: bytes) -> tuple[bool, bytes]:
        if self._failed:
            return _NOTHING
        known = len(self._partial)
        scanned = self._partial + data if known else data
        at, end = self._left, len(scanned)
        self._partial = b""
        while at < end:
            if end - at < 14 and _header_bytes(scanned, at) > end - at:
                self._partial = scanned[at:]
                break
            first, second = scanned[at], scanned[at + 1]
            length = second & 0x7F
            # A complete text or binary message, masked and short, as nearly all messages are.
            if 0x81 <= first & 0xBF <= 0x82 and 0x80 <= second < 0xFE and not self._open:
                at += 6 + length
                continue
            if 0x81 <= first & 0xBF <= 0x82 and second == 0xFE and not self._open:
                length = scanned[at + 2] << 8 | scanned[at + 3]
                if length > 125:
                    at += 8 + length
                    continue
                length = 126
            if (why := self._broken(first, second, scanned, at)) is not None:
                self._failed, self._between = True, False
                if at > known:
                    self._parser.feed_data(scanned[known:at])
                self._queue.set_exception(WebSocketError(WSCloseCode.PROTOCOL_ERROR, why))
                return _NOTHING
            size = _header_bytes(scanned, at)
            if length > 125:
                length = int.from_bytes(scanned[at + 2 : at + size - 4], "big")
            at += size + length
        self._left = max(0, at - end) if not self._partial else 0
        self._between = not (self._left or self._partial or self._open)
        return self._parser.feed_data(data)

    def _broken(self, first: int, second: int, data: bytes, at: int) -> str | None:
        """Return which rule a header breaks, None if none; note whether a fragmented message is open."""
        if not second & 0x80:
            return "a client's frames must be masked (RFC 6455 §5.1)"
        form = second & 0x7F
        if form in _LEAST:
            length = int.from_bytes(data[at + 2 : at + (4 if form == 126 else 10)], "big")
            if length < _LEAST[form] or length >> 63:
                return "a length must be as short as it can be (RFC 6455 §5.2)"
        opcode = first & 0x0F
        if opcode & 8:
            return "a control frame has no reserved bits (RFC 7692 §6.1)" if first & 0x40 else None
        if opcode and self._open:
            return "a message begins inside another (RFC 6455 §5.4)"
        if opcode or self._open:  # the parser refuses a continuation of nothing
            self._open = not first & 0x80
        return None


def _payload_of_one_message(data: bytes) -> int:
    """Return where the payload begins if bytes are exactly one message in one frame, else 0.

    This is the usual input from a client that awaits answers.
    """
    size = len(data)
    if size < 6 or not 0x81 <= data[0] & 0xBF <= 0x82:
        return 0
    second = data[1]
    if second < 0xFE:
        return (
            6 if size == second - 122 else 0
        )  # 0x80 marks the mask; two bytes of header, and four of the mask
    return 8 if second == 0xFE and size - 8 == data[2] << 8 | data[3] and size > 133 else 0


def _header_bytes(data: bytes, at: int) -> int:
    """Return the size of the header that begins here, as far as its first two bytes tell."""
    if len(data) - at < 2:
        return 2
    second = data[at + 1]
    if not second & 0x80:
        return 2  # not masked: refused, whatever follows
    return {126: 8, 127: 14}.get(second & 0x7F, 6)
