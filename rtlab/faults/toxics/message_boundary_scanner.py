"""Finds where messages end in a byte stream: WebSocket frames (RFC 6455 §5) and server-sent events.

Both scanners take bytes in pieces of any size. The units that they return, joined, are
exactly the bytes that they were given: nothing is lost, even from malformed input.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from rtlab.protocol.websocket_framing import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    read_header,
    unmasked,
)

__all__ = ["EventScanner", "FrameScanner", "NotFrames", "StreamUnit", "message_type"]

MAX_UNIT_BYTES: Final = 4 * 1024 * 1024  # longer messages pass without being parsed
_OPCODES: Final = (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
_END_OF_EVENT: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\n\r\n")


class StreamUnit(NamedTuple):
    """A piece of the stream.

    ``raw`` is its bytes. ``type`` is the message's type; ``""`` for a message whose type
    cannot be read; ``None`` for all else (control frame, comment, part of a long message).
    """

    raw: bytes
    type: str | None


class NotFrames(Exception):
    """These bytes do not begin a WebSocket frame."""


class _Typed(msgspec.Struct):
    type: str = ""


_json = msgspec.json.Decoder(_Typed)
_msgpack = msgspec.msgpack.Decoder(_Typed)


def message_type(payload: bytes, *, binary: bool = False) -> str:
    """The ``type`` of a message in JSON (or MessagePack), ``""`` if it has none."""
    try:
        return (_msgpack if binary else _json).decode(payload).type
    except Exception:  # foreign bytes: msgspec raises RecursionError, UnicodeDecodeError and others, too
        return ""


class FrameScanner:
    """Splits one direction of a WebSocket into messages and control frames.

    Parameters
    ----------
    masked : bool
        Whether this direction is masked (client to server: yes).
    """

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._buffer = b""
        self._skip = 0  # bytes of a frame that is too long to hold
        self._parts: list[bytes] = []  # frames of a message in fragments
        self._payload = b""
        self._binary = False
        self._readable = True

    @property
    def pending(self) -> int:
        """Bytes of an incomplete frame or message."""
        return len(self._buffer) + sum(map(len, self._parts))

    def flush(self) -> bytes:
        """Return the pending bytes, and reset the scanner."""
        rest = b"".join([*self._parts, self._buffer])
        self._buffer, self._parts, self._payload, self._skip = b"", [], b"", 0
        return rest

    def feed(self, data: bytes) -> list[StreamUnit]:
        """Take bytes; returns the units that are now complete.

        Raises
        ------
        NotFrames
            When the bytes cannot begin a frame; `flush` then returns them.
        """
        units: list[StreamUnit] = []
        self._buffer += data
        while self._buffer:
            if self._skip:
                raw, self._buffer = self._buffer[: self._skip], self._buffer[self._skip :]
                self._skip -= len(raw)
                units.append(StreamUnit(raw, None))
                continue
            size = self._frame_size(units)
            if size is None:
                break
            if size > MAX_UNIT_BYTES:
                units.append(StreamUnit(b"".join(self._parts), None))
                self._parts, self._payload, self._skip = [], b"", size
                continue
            if len(self._buffer) < size:
                break
            raw, self._buffer = self._buffer[:size], self._buffer[size:]
            self._on_frame(raw, units)
        return [unit for unit in units if unit.raw]

    def _frame_size(self, units: list[StreamUnit]) -> int | None:
        b = self._buffer
        # The first two bytes decide, so that bytes which cannot begin a frame are not held back.
        opcode = b[0] & 0x0F
        if b[0] & 0x30 or opcode not in _OPCODES:
            raise self._bad(units)
        if len(b) < 2:
            return None
        if bool(b[1] & 0x80) != self._masked or (opcode >= CLOSE and (b[1] & 0x7F > 125 or not b[0] & 0x80)):
            raise self._bad(units)
        header = read_header(b)
        return None if header is None else header.size_bytes + header.payload_bytes

    def _bad(self, units: list[StreamUnit]) -> NotFrames:
        self._parts = [b"".join(u.raw for u in units), *self._parts]  # `flush` returns these bytes too
        return NotFrames(self._buffer[:16])

    def _on_frame(self, raw: bytes, units: list[StreamUnit]) -> None:
        opcode, fin = raw[0] & 0x0F, bool(raw[0] & 0x80)
        if opcode >= CLOSE:
            units.append(StreamUnit(raw, None))
            return
        if opcode:  # the first frame of a message
            self._binary = opcode == BINARY
            self._readable = not raw[0] & 0x40  # RSV1: compressed
            if self._parts:  # a message within a message violates RFC 6455 §5.4: pass it on
                units.append(StreamUnit(b"".join(self._parts), ""))
            self._parts, self._payload = [], b""
        self._parts.append(raw)
        if self._readable:
            self._payload += self._content(raw)
        if fin or sum(map(len, self._parts)) > MAX_UNIT_BYTES:
            kind = message_type(self._payload, binary=self._binary) if self._readable else ""
            units.append(StreamUnit(b"".join(self._parts), kind))
            self._parts, self._payload = [], b""

    def _content(self, raw: bytes) -> bytes:
        header = read_header(raw)
        assert header is not None, "only whole frames come here"
        body = raw[header.size_bytes :]
        return unmasked(body, raw[header.size_bytes - 4 : header.size_bytes]) if self._masked else body


class EventScanner:
    """Splits the content of an event stream into events and comments."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def pending(self) -> int:
        """Bytes of an incomplete event."""
        return len(self._buffer)

    def flush(self) -> bytes:
        """Return the pending bytes."""
        rest, self._buffer = self._buffer, b""
        return rest

    def feed(self, data: bytes) -> list[StreamUnit]:
        """Take bytes; returns the units that are now complete."""
        units: list[StreamUnit] = []
        self._buffer += data
        while match := _END_OF_EVENT.search(self._buffer):
            if match.end() == len(self._buffer) and match[0] == b"\r\r":
                break  # a line feed may follow, which belongs to the second CR
            raw, self._buffer = self._buffer[: match.end()], self._buffer[match.end() :]
            units.append(StreamUnit(raw, self._type(raw)))
        if len(self._buffer) > MAX_UNIT_BYTES:
            units.append(StreamUnit(self.flush(), None))
        return units

    @staticmethod
    def _type(raw: bytes) -> str | None:
        kind, has_data = "message", False
        for line in re.split(rb"\r\n|\n|\r", raw):
            name, _, value = line.partition(b":")
            if name == b"data":
                has_data = True
            elif name == b"event" and value:
                kind = value.removeprefix(b" ").decode("utf-8", "replace")
        return kind if has_data else None
