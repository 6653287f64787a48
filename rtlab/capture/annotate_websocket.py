"""Real bytes with a comment beside each part, for people: HTTP heads and WebSocket frames.

What differs from run to run (keys, masks, dates, ports, ids, versions) is replaced by
an ellipsis, so that the same exchange always looks the same.
"""

from __future__ import annotations

import html
import re
from typing import Final, NamedTuple

from rtlab.capture.traffic_parser import frames
from rtlab.errors import MessageError
from rtlab.protocol.close_codes import close_code

__all__ = ["Annotated", "Part", "annotate_frame", "annotate_handshake"]

_MAX_SHOWN: Final = 120

_OPCODES: Final = {
    0: "continuation",
    1: "text",
    2: "binary",
    8: "close",
    9: "ping",
    10: "pong",
}

#: Header → what it is for. Names in lower case.
_COMMENTS: Final = {
    "host": "which site is meant: one address can serve many (RFC 9110 §7.2)",
    "upgrade": "the protocol to switch to (RFC 9110 §7.8)",
    "connection": "for this hop only; a proxy that does not know Upgrade drops it here",
    "sec-websocket-key": "16 random bytes, base64: against caches, not a secret (RFC 6455 §4.1)",
    "sec-websocket-accept": "base64(SHA-1(key + GUID)): proof that the server read it as WebSocket",
    "sec-websocket-version": "13, the only one since 2011",
    "sec-websocket-protocol": "subprotocols: the client offers, the server picks one",
    "sec-websocket-extensions": "permessage-deflate and its parameters (RFC 7692)",
    "origin": "set by browsers, never by scripts: the server's defence against other sites' pages",
    "user-agent": "which client",
    "server": "which server",
    "date": "the server's clock",
    "accept": "what the client wants to read",
    "accept-encoding": "compressions that the client knows",
    "cache-control": "no cache may keep this, no proxy may change it",
    "content-type": "what the body is",
    "content-length": "bytes of the body",
    "transfer-encoding": "chunked: the body's end is not known yet (RFC 9112 §7.1)",
    "last-event-id": "where to go on: the id of the last event that came",
    "x-accel-buffering": "asks nginx to pass on each piece at once",
    "access-control-allow-origin": "pages of this origin may read the answer (CORS)",
    "vary": "the answer depends on this request header",
}

#: Values that differ from run to run, as whole headers.
_RANDOM: Final = frozenset({"sec-websocket-key", "sec-websocket-accept", "date", "last-event-id"})
_VERSION: Final = re.compile(r"(?<=/)\d[\w.]*")
_PORT: Final = re.compile(r"(?<=:)\d+$")
_QUERY: Final = re.compile(r"([?&](?:session|clientId|cursor|lastEventId|ticket|token|seq)=)[^& ]+")
_JSON: Final = re.compile(r'("(?:ts|sent|id|seq|session|clientId|bootId|cursor|epoch)":)("[^"]*"|[^,}\]]+)')


class Part(NamedTuple):
    """One part of the bytes.

    Parameters
    ----------
    raw : str
        The bytes, as text, bits or hexadecimal.
    name : str
        What the standard calls it.
    value : str
        What it says here.
    comment : str
        What it is for.
    """

    raw: str
    name: str
    value: str
    comment: str


class Annotated:
    """Bytes taken apart, shown as a table.

    Parameters
    ----------
    title : str
        What they are.
    parts : list of Part
        In their order on the wire.
    """

    def __init__(self, title: str, parts: list[Part]) -> None:
        self.title = title
        self.parts = parts

    def __repr__(self) -> str:
        columns = [max(len(part[i]) for part in self.parts) for i in range(3)]
        lines = [
            "  ".join([*(text.ljust(width) for text, width in zip(part, columns, strict=False)), part[3]])
            for part in self.parts
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        cells = (
            f"<td {left}><code>{html.escape(part.raw)}</code></td>"
            f"<td {left}>{html.escape(part.name)}</td>"
            f"<td {left}><b>{html.escape(part.value)}</b></td>"
            f"<td {left}>{html.escape(part.comment)}</td>"
            for part in self.parts
        )
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        head = "".join(f"<th {left}>{name}</th>" for name in ("bytes", "part", "value", "what it is for"))
        return f"<table><caption>{html.escape(self.title)}</caption><tr>{head}</tr>{rows}</table>"


def annotate_handshake(data: bytes) -> Annotated:
    """Explain the head of an HTTP request or response, line by line.

    Parameters
    ----------
    data : bytes
        From the first byte of the request or response; what follows the head is ignored.

    Returns
    -------
    Annotated

    Raises
    ------
    MessageError
        When there is no complete head.

    Examples
    --------
    >>> lines = ["GET /ws HTTP/1.1", "Host: 127.0.0.1:4000", "Upgrade: websocket", "", ""]
    >>> annotate_handshake(bytes([13, 10]).join(line.encode() for line in lines)).parts[1].value
    '127.0.0.1:…'
    """
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end:
        raise MessageError("expected an HTTP head that ends with an empty line, got none in these bytes")
    start_line, *lines = head.decode("latin-1").split("\r\n")
    parts = [_start_line(start_line)]
    for line in lines:
        name, _, value = line.partition(":")
        value = _calm(name.lower(), value.strip())
        comment = _COMMENTS.get(name.lower(), "")
        parts.append(Part(f"{name}: {_short(value)}", name, _short(value), comment))
    parts.append(Part("", "empty line", "CR LF", "the head ends here"))
    kind = "response" if start_line.startswith("HTTP/") else "request"
    return Annotated(f"HTTP {kind} head", parts)


def _start_line(line: str) -> Part:
    line = _QUERY.sub(r"\1…", line)
    if line.startswith("HTTP/"):
        status = line.split(" ")[1]
        comment = "from here on, the connection carries WebSocket frames" if status == "101" else ""
        return Part(line, "status line", status, comment)
    method, target, version = line.split(" ", 2)
    return Part(line, "request line", f"{method} {target}", f"{version}: an ordinary request so far")


def _calm(name: str, value: str) -> str:
    if name in _RANDOM:
        return "…"
    if name in ("user-agent", "server"):
        return _VERSION.sub("…", value)
    if name == "content-length":
        return "…"
    return _PORT.sub("…", value) if name in ("host", "origin") else value


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def annotate_frame(data: bytes) -> Annotated:
    """Explain the first WebSocket frame, field by field (RFC 6455 §5.2).

    Parameters
    ----------
    data : bytes
        From the frame's first byte; what follows the frame is ignored.

    Returns
    -------
    Annotated
        The mask and the masked bytes are random, and shown as dots; the payload is
        shown unmasked.

    Raises
    ------
    MessageError
        When the frame is not complete.

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
    parts.append(Part(shown, "payload", *_payload(frame.opcode, plain)))
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


def _payload(opcode: int, plain: bytes) -> tuple[str, str]:
    size = f"{len(plain):,} bytes"
    if opcode == 8:
        code = int.from_bytes(plain[:2], "big")
        reason = plain[2:].decode(errors="replace")
        return f"{code} {reason}".strip(), f"close code: {close_code(code).name}" if plain else "no code"
    text = plain.decode(errors="replace") if opcode != 2 else _hex(plain)
    return _short(_JSON.sub(r"\1…", text)), size
