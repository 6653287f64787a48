"""Explains a WebSocket frame field by field.

Masks and masked bytes are random and shown as dots; ids and time stamps in the payload are replaced
by an ellipsis, so that the same exchange always looks the same.
"""

from __future__ import annotations

import re
from typing import Final

from rtlab.capture.annotation_table import Annotated, Part, shortened
from rtlab.capture.traffic_parser import frames
from rtlab.errors import MessageError
from rtlab.protocol.close_codes import close_code

__all__ = ["annotate_frame"]

_OPCODES: Final = {
    0: "continuation",
    1: "text",
    2: "binary",
    8: "close",
    9: "ping",
    10: "pong",
}

_JSON: Final = re.compile(r'("(?:ts|sent|id|seq|session|clientId|bootId|cursor|epoch)":)("[^"]*"|[^,}\]]+)')


def annotate_frame(data: bytes) -> Annotated:
    """Explain the first WebSocket frame, field by field (RFC 6455 §5.2).

    Parameters
    ----------
    data : bytes
        Bytes from the frame's first one; those after the frame are ignored.

    Returns
    -------
    Annotated
        The mask and the masked bytes are random, and shown as dots; the payload is
        shown unmasked.

    Raises
    ------
    MessageError
        If the frame is not complete.

    Examples
    --------
    >>> annotate_frame(bytes([0x81, 2]) + b"hi")
    WebSocket frame, 4 bytes: header 2 + payload 2
    1... ....  FIN             1     the message ends with this frame
    .000 ....  RSV             0     no extension is in use
    .... 0001  opcode          text  what the payload is
    0... ....  MASK            0     from the server: not masked
    .000 0010  payload length  2     up to 125 fit here
    68 69      payload         hi    2 bytes
    """
    found = frames(data)
    if not found:
        raise MessageError("expected a whole WebSocket frame, got fewer bytes than its header says")
    frame = found[0]
    first, second = data[0], data[1]
    rsv = first >> 4 & 7
    bits = f"{first:08b}"
    parts = [
        Part(f"{bits[0]}... ....", "FIN", bits[0], _fin(frame.fin)),
        Part(f".{bits[1:4]} ....", "RSV", str(rsv), _rsv(rsv)),
        Part(f".... {bits[4:]}", "opcode", _OPCODES.get(frame.opcode, "reserved"), "what the payload is"),
        _mask_bit(frame.masked),
        Part(f".{second >> 4 & 7:03b} {second & 15:04b}", "payload length", *_length(second & 0x7F)),
    ]
    mask = data[frame.header_bytes - 4 : frame.header_bytes] if frame.masked else b""
    extended = data[2 : frame.header_bytes - len(mask)]
    if extended:
        parts.append(
            Part(extended.hex(" "), "extended length", f"{frame.length:,}", f"{8 * len(extended)} bits")
        )
    if mask:
        parts.append(Part("·· ·· ·· ··", "masking key", "4 random bytes", "new in each frame (§5.3)"))
    body = data[frame.header_bytes : frame.end]
    plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)) if mask else body
    shown = "··" if mask else _hex(body)
    parts.append(Part(shown, "payload", *_payload(frame.opcode, rsv, plain)))
    title = f"WebSocket frame, {frame.end:,} bytes: header {frame.header_bytes} + payload {frame.length:,}"
    return Annotated(title, parts)


def _fin(fin: bool) -> str:
    return "the message ends with this frame" if fin else "more frames of this message follow"


def _rsv(rsv: int) -> str:
    if rsv == 4:
        return "RSV1: compressed (RFC 7692)"
    return "an extension's" if rsv else "no extension is in use"


def _mask_bit(masked: bool) -> Part:
    comment = "from the client: always masked (§5.1)" if masked else "from the server: not masked"
    return Part(f"{int(masked)}... ....", "MASK", str(int(masked)), comment)


def _length(code: int) -> tuple[str, str]:
    if code == 126:
        return "126", "the next 2 bytes say it: 126 to 65,535"
    if code == 127:
        return "127", "the next 8 bytes say it: from 65,536"
    return str(code), "up to 125 fit here"


def _hex(body: bytes) -> str:
    return body[:8].hex(" ") + (" …" if len(body) > 8 else "")


def _payload(opcode: int, rsv: int, plain: bytes) -> tuple[str, str]:
    size = f"{len(plain):,} bytes"
    if rsv:  # only the extension knows what they mean
        return _hex(plain), f"{size}, compressed" if rsv == 4 else size
    if opcode == 8:
        if len(plain) < 2:
            return _hex(plain), "no code"
        code = int.from_bytes(plain[:2], "big")
        reason = plain[2:].decode(errors="replace")
        return f"{code} {reason}".strip(), f"close code: {close_code(code).name}"
    if opcode == 1:
        text = plain.decode(errors="replace")
    elif opcode == 2:
        text = _hex(plain)
    else:
        text = _text_or_hex(plain)
    return shortened(_JSON.sub(r"\1…", text)), size


def _text_or_hex(plain: bytes) -> str:
    """Return a payload that may be either: that of a continuation, or of a ping."""
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        return _hex(plain)
    return text if text.isprintable() else _hex(plain)
