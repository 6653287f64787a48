"""Explains the head of an HTTP request or response line by line, such as a WebSocket's handshake.

Values that differ from run to run (keys, dates, ports, ids, versions) are replaced by an ellipsis,
so that the same exchange always looks the same.
"""

from __future__ import annotations

import re
from typing import Final

from rtlab.capture.annotation_table import Annotated, Part, shortened
from rtlab.errors import MessageError
from rtlab.protocol.http1_message_parser import NotHttp, parse_head

__all__ = ["annotate_handshake"]

#: Header, in lower case → what it is for.
_COMMENTS: Final = {
    "host": "which site is meant: one address can serve many (RFC 9110 §7.2)",
    "upgrade": "the protocol to switch to (RFC 9110 §7.8)",
    "sec-websocket-key": "16 random bytes, base64: against caches, not a secret (RFC 6455 §4.1)",
    "sec-websocket-accept": "base64(SHA-1(key + GUID)): proof that the server read it as WebSocket",
    "sec-websocket-version": "13, the only one since 2011",
    "sec-websocket-protocol": "subprotocols: the client offers, the server picks one",
    "sec-websocket-extensions": "permessage-deflate and its parameters (RFC 7692)",
    "origin": "set by the browser, out of reach of a page's scripts: tells the server whose page asks",
    "user-agent": "which client",
    "server": "which server",
    "date": "the server's clock",
    "accept": "what the client wants to read",
    "accept-encoding": "compressions that the client knows",
    "content-type": "what the body is",
    "content-length": "bytes of the body",
    "transfer-encoding": "chunked: the body's end is not known yet (RFC 9112 §7.1)",
    "last-event-id": "where to go on: the id of the last event that came",
    "x-accel-buffering": "asks nginx to pass on each piece at once",
    "rtlab-protocol": "marks an rtlab server: a welcome follows",
    "access-control-allow-origin": "pages of this origin may read the answer (CORS)",
    "vary": "the answer depends on this request header",
}

#: (header, one value of its list) → what it means in a request, and in a response.
_VALUES: Final = {
    ("cache-control", "no-store"): (
        "no cache may keep this request or its answer (RFC 9111 §5.2.1.5)",
        "no cache may keep this answer (RFC 9111 §5.2.2.5)",
    ),
    ("cache-control", "no-cache"): (
        "a stored answer will not do before the server was asked again (RFC 9111 §5.2.1.4)",
        "a cache may keep this, and must ask the server again before each use (RFC 9111 §5.2.2.4)",
    ),
    ("cache-control", "no-transform"): (
        "no proxy may change the body (RFC 9111 §5.2.1.6)",
        "no proxy may change the body, not even compress it (RFC 9111 §5.2.2.6)",
    ),
    ("connection", "upgrade"): (
        "for this hop only; a proxy that does not know Upgrade drops it here",
        "for this hop only; a proxy that does not know Upgrade drops it here",
    ),
    ("connection", "keep-alive"): (
        "asks for the connection to stay open; HTTP/1.1 does that unasked (RFC 9112 §9.3)",
        "the connection stays open; HTTP/1.1 does that unasked (RFC 9112 §9.3)",
    ),
    ("connection", "close"): (
        "no further request on this connection (RFC 9112 §9.6)",
        "the connection ends with this answer (RFC 9112 §9.6)",
    ),
}

#: Headers whose whole value differs from run to run.
_RANDOM: Final = frozenset({"sec-websocket-key", "sec-websocket-accept", "date", "last-event-id"})
_VERSION: Final = re.compile(r"(?<=/)\d[\w.]*")
_PORT: Final = re.compile(r"(?<=:)\d+$")
_QUERY: Final = re.compile(r"([?&](?:session|clientId|cursor|lastEventId|ticket|token|seq)=)[^& ]+")


def annotate_handshake(data: bytes) -> Annotated:
    """Explain the head of an HTTP request or response, line by line.

    Parameters
    ----------
    data : bytes
        Bytes from the first one of the request or response; those after the head are ignored.

    Returns
    -------
    Annotated

    Raises
    ------
    MessageError
        If the head is not complete, or is no head of HTTP/1.x.

    Examples
    --------
    >>> lines = ["GET /ws HTTP/1.1", "Host: 127.0.0.1:4000", "Upgrade: websocket", "", ""]
    >>> annotate_handshake(bytes([13, 10]).join(line.encode() for line in lines)).parts[1].value
    '127.0.0.1:…'
    """
    kind = "response" if data.startswith(b"HTTP/") else "request"
    try:
        head = parse_head(data, response=kind == "response")
    except NotHttp as error:
        raise MessageError(f"expected the head of an HTTP/1.x {kind}, got {error}") from None
    if head is None:
        raise MessageError("expected an HTTP head that ends with an empty line, got none in these bytes")
    parts = [_start_line(head.start.decode("latin-1"))]
    for field in head.fields:
        name, value = (text.decode("latin-1") for text in field)
        value = _without_varying(name.lower(), value)
        comment = _COMMENTS.get(name.lower()) or _meaning(name.lower(), value, kind)
        parts.append(Part(f"{name}: {shortened(value)}", name, shortened(value), comment))
    parts.append(Part("", "empty line", "CR LF", "the head ends here"))
    return Annotated(f"HTTP {kind} head", parts)


def _start_line(line: str) -> Part:
    line = _QUERY.sub(r"\1…", line)
    if line.startswith("HTTP/"):
        status = line.split(" ")[1]
        comment = "from here on, the connection carries WebSocket frames" if status == "101" else ""
        return Part(line, "status line", status, comment)
    method, target, version = line.split(" ", 2)
    return Part(line, "request line", f"{method} {target}", f"{version}: an ordinary request so far")


def _meaning(name: str, value: str, kind: str) -> str:
    """Return the meanings of the header's comma-separated values, as far as `_VALUES` has them."""
    said = (_VALUES.get((name, item.strip().lower())) for item in value.split(","))
    return "; ".join(pair[kind == "response"] for pair in said if pair is not None)


def _without_varying(name: str, value: str) -> str:
    if name in _RANDOM:
        return "…"
    if name in ("user-agent", "server"):
        return _VERSION.sub("…", value)
    if name == "content-length":
        return "…"
    return _PORT.sub("…", value) if name in ("host", "origin") else value
