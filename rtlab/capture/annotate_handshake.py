"""The head of an HTTP request or response, explained line by line; a WebSocket's opening is one.

What differs from run to run (keys, dates, ports, ids, versions) is replaced by an ellipsis, so
that the same exchange always looks the same.
"""

from __future__ import annotations

import re
from typing import Final

from rtlab.capture.annotation import Annotated, Part, shortened
from rtlab.errors import MessageError

__all__ = ["annotate_handshake"]

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
        value = _without_varying(name.lower(), value.strip())
        comment = _COMMENTS.get(name.lower(), "")
        parts.append(Part(f"{name}: {shortened(value)}", name, shortened(value), comment))
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


def _without_varying(name: str, value: str) -> str:
    if name in _RANDOM:
        return "…"
    if name in ("user-agent", "server"):
        return _VERSION.sub("…", value)
    if name == "content-length":
        return "…"
    return _PORT.sub("…", value) if name in ("host", "origin") else value
