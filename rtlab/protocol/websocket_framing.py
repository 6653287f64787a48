"""WebSocket framing (RFC 6455 §5): builds frames, reads their headers, masks and unmasks payloads."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from rtlab.protocol.close_codes import cut_reason

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "FrameHeader",
    "close_frame",
    "read_header",
    "unframed",
    "unmasked",
    "websocket_frame",
]

# Opcodes (RFC 6455 §5.2)
CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

#: Two bytes, and a length of 16 bits: the header of frames whose payload is 126 to 65,535 bytes.
_pack_header: Final = Struct(">BBH").pack


class FrameHeader(NamedTuple):
    """The header of a frame.

    Parameters
    ----------
    fin : bool
        Whether the frame ends a message.
    rsv : int
        The three reserved bits as a number, 0 to 7; RSV1, which is 4, marks a compressed message
        (RFC 7692 §6).
    opcode : int
        The kind of frame, such as `TEXT` or `PING`.
    masked : bool
        Whether the payload is masked, as in every frame from a client (RFC 6455 §5.3).
    size_bytes, payload_bytes : int
        The sizes of the header, including the masking key, and of the payload.
    """

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    size_bytes: int
    payload_bytes: int


def unframed(frame: bytes) -> bytes:
    """Return the payload of one complete frame of a server, which is not masked (RFC 6455 §5.1).

    Examples
    --------
    >>> unframed(websocket_frame(TEXT, b"hi"))
    b'hi'
    """
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


def read_header(data: bytes, at: int = 0) -> FrameHeader | None:
    """Read the header that begins at an offset.

    Parameters
    ----------
    data : bytes
        Bytes of one direction of a WebSocket.
    at : int
        The offset at which the frame begins.

    Returns
    -------
    FrameHeader or None
        None if the header is not complete yet. Whether the peer obeys the rules is not
        checked.

    Examples
    --------
    >>> read_header(bytes([0x81, 2]) + b"hi").payload_bytes
    2
    """
    if len(data) - at < 2:
        return None
    first, second = data[at], data[at + 1]
    length, size, masked = second & 0x7F, 2, bool(second & 0x80)
    if length > 125:
        extended = 2 if length == 126 else 8
        size += extended
        length = int.from_bytes(data[at + 2 : at + size], "big")
    size += 4 if masked else 0
    if len(data) - at < size:
        return None
    return FrameHeader(bool(first & 0x80), first >> 4 & 7, first & 0x0F, masked, size, length)


def unmasked(payload: bytes, key: bytes) -> bytes:
    """Apply a masking key of four bytes to a payload, which masks or unmasks it (RFC 6455 §5.3).

    Examples
    --------
    >>> unmasked(b"ij", bytes(4)), unmasked(unmasked(b"hello", b"1234"), b"1234")
    (b'ij', b'hello')
    """
    size = len(payload)
    pattern = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


def websocket_frame(opcode: int, payload: bytes, rsv: int = 0) -> bytes:
    """Return an unmasked frame, as a server sends it.

    Parameters
    ----------
    opcode : int
        `TEXT`, `BINARY`, `CLOSE`, `PING` or `PONG`.
    payload : bytes
        The whole message, which is not fragmented.
    rsv : int
        The reserved bits in their place in the first byte: 0x40 (RSV1) marks a compressed message
        (RFC 7692 §6).

    Returns
    -------
    bytes
        The header of 2, 4 or 10 bytes, and the payload.

    Examples
    --------
    >>> websocket_frame(TEXT, b"hi").hex(" ")
    '81 02 68 69'
    """
    first, length = 0x80 | rsv | opcode, len(payload)
    if length < 126:
        header = bytes((first, length))
    elif length < 65536:
        header = _pack_header(first, 126, length)
    else:
        header = bytes((first, 127)) + length.to_bytes(8, "big")
    return header + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a server's close frame; the reason is cut to the size that a control frame allows.

    Examples
    --------
    >>> close_frame(1012).hex(" ")
    '88 02 03 f4'
    """
    return websocket_frame(CLOSE, code.to_bytes(2, "big") + cut_reason(reason))
