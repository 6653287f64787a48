"""What a probe saw of an endpoint, and what an endpoint's answer says that it is."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from rtlab.errors import ConnectFailed
from rtlab.protocol.http1 import Head
from rtlab.protocol.urls import Url

__all__ = ["EXAMPLE", "Kind", "Report", "kind_at", "not_real_time"]

Kind = Literal["websocket", "sse", "longpoll"]

#: What may be probed and followed, for errors.
EXAMPLE: Final = "wss://example.org/live or https://example.org/events"

_KINDS: Final[dict[Kind, str]] = {
    "websocket": "a WebSocket",
    "sse": "an event stream",
    "longpoll": "a long poll",
}


class Report(msgspec.Struct, kw_only=True):
    """What a probe saw; times in milliseconds, None where there was nothing to see.

    Attributes
    ----------
    url, kind, address : str
        Without the query; what it turned out to be; the address that answered.
    dns_ms, tcp_ms, tls_ms, answer_ms : float or None
        The steps of opening, `dns_ms` None for an address; `answer_ms` is from the request to
        the answer's head.
    tls : str
        Version and cipher, empty without.
    status : int
        Of HTTP.
    headers : dict
        Of the answer, in lower case.
    subprotocol, extensions : str
        What the server chose.
    round_trips : int
        How many were measured.
    round_trip_of : str
        What made them.
    p50_ms, p99_ms : float or None
        Of the round trips.
    heartbeat, idle, resumes, nonsense : str
        In words: what came unasked, when the server ended an idle connection, whether
        it continues a session, and how it answers what makes no sense.
    incomplete : str
        Why the probe ended before it had seen all that; empty when it has.
    """

    url: str
    kind: Kind
    address: str
    dns_ms: float | None
    tcp_ms: float
    tls_ms: float | None
    answer_ms: float
    tls: str = ""
    status: int = 0
    headers: dict[str, str] = {}
    subprotocol: str = ""
    extensions: str = ""
    round_trips: int = 0
    round_trip_of: str = ""
    p50_ms: float | None = None
    p99_ms: float | None = None
    heartbeat: str = "none seen"
    idle: str = ""
    resumes: str = "no sign of it"
    nonsense: str = ""
    incomplete: str = ""


def kind_at(url: Url, head: Head, kind: Kind | None) -> Kind:
    """Return what answers so to a request over HTTP.

    Parameters
    ----------
    url : Url
        Where.
    head : Head
        Of the answer to ``Accept: text/event-stream, application/json``.
    kind : {"websocket", "sse", "longpoll"} or None
        What is looked for; None takes whatever is there.

    Raises
    ------
    ConnectFailed
        For an ordinary page, an error, and another kind than `kind`.
    """
    content = head.get(b"content-type").lower()
    found: Kind | None = None
    if head.status == 200 and content.startswith(b"text/event-stream"):
        found = "sse"
    elif head.status == 204 or (head.status == 200 and b"json" in content):
        found = "longpoll"
    elif kind is None and head.status in (400, 426) and _wants_upgrade(head):
        found = "websocket"
    if found is None or (kind is not None and found != kind):
        raise not_real_time(url, head, kind)
    return found


def _wants_upgrade(head: Head) -> bool:
    """Whether a refusal says that a WebSocket is there (RFC 6455 §4.4)."""
    return b"websocket" in head.tokens(b"upgrade") or bool(head.get(b"sec-websocket-version"))


def not_real_time(url: Url, head: Head, kind: Kind | None) -> ConnectFailed:
    """Return the error for an answer that is none of what was looked for."""
    content = head.get(b"content-type").decode("latin-1").partition(";")[0] or "no type"
    wanted = "real-time" if kind is None else _KINDS[kind]
    advice = "is the path right, such as /ws?"
    if head.status in (401, 403):
        advice = "does it need credentials (--header), or another origin?"
    elif head.status == 400:
        advice = "does it ask for a subprotocol, credentials or an origin (--header)? Else is the path right?"
    elif head.status == 429 or head.status >= 500:
        after = head.get(b"retry-after").decode("latin-1")
        advice = "it refuses for now, or what stands before it does: try again" + (
            f" after {after!r:.40} (Retry-After)" if after else " later"
        )
    if 300 <= head.status < 400:
        advice = f"it redirects to {head.get(b'location').decode('latin-1')!r}: give that URL"
    return ConnectFailed(
        f"{url.address} answered HTTP {head.status} with {content}, which is not {wanted}: {advice}",
        retryable=False,
        status=head.status,
    )
