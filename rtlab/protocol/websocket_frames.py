"""The framing of WebSocket (RFC 6455 §5.2): the one place that builds and reads frame headers."""

from __future__ import annotations

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


class FrameHeader(NamedTuple):
    """What stands before a frame's payload.

    Parameters
    ----------
    fin : bool
        Whether the frame ends a message.
    rsv : int
        The three bits of extensions, 0 to 7; 4 marks a compressed message (RFC 7692 §6).
    opcode : int
        What the payload is.
    masked : bool
        Whether the payload is masked, as everything from a client is (§5.3).
    size_bytes, payload_bytes : int
        The header's own size, masking key included, and the payload's.
    """

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    size_bytes: int
    payload_bytes: int


def unframed(frame: bytes) -> bytes:
    """Return the payload of one whole frame of a server: it has no mask (RFC 6455 section 5.1).

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
        Part of one direction of a WebSocket.
    at : int
        Where the frame begins.

    Returns
    -------
    FrameHeader or None
        None when the header is not complete yet. Whether the peer keeps to the
        rules is not judged here.

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
    """Apply a masking key of four bytes to a payload (RFC 6455 §5.3); twice gives it back.

    Examples
    --------
    >>> unmasked(b"ij", bytes(4)), unmasked(unmasked(b"hello", b"1234"), b"1234")
    (b'ij', b'hello')
    """
    size = len(payload)
    pattern = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


def websocket_frame(opcode: int, payload: bytes, rsv: int = 0) -> bytes:
    """Put an unmasked header before a payload, as a server does.

    Parameters
    ----------
    opcode : int
        `TEXT`, `BINARY`, `CLOSE`, `PING` or `PONG`.
    payload : bytes
        The whole message; it is never fragmented.
    rsv : int
        0x40 marks a compressed message (RFC 7692 §6).

    Returns
    -------
    bytes
        2, 4 or 10 bytes of header and the payload.

    Examples
    --------
    >>> websocket_frame(TEXT, b"hi").hex(" ")
    '81 02 68 69'
    """
    first, length = 0x80 | rsv | opcode, len(payload)
    if length < 126:
        header = bytes((first, length))
    elif length < 65536:
        header = bytes((first, 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((first, 127)) + length.to_bytes(8, "big")
    return header + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Make a server's close frame; the reason is cut to what a control frame holds.

    Examples
    --------
    >>> close_frame(1012).hex(" ")
    '88 02 03 f4'
    """
    return websocket_frame(CLOSE, code.to_bytes(2, "big") + cut_reason(reason))
