"""What a probe saw of an endpoint, and what an endpoint's answer says that it is."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from rtlab.errors import ConnectFailed
from rtlab.protocol.http1 import Head
from rtlab.protocol.urls import Url

__all__ = ["Kind", "Report", "kind_of", "not_real_time", "wants_upgrade"]

Kind = Literal["websocket", "sse", "longpoll"]

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
        The steps of opening; `answer_ms` is from the request to the answer's head.
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
    """

    url: str
    kind: Kind
    address: str
    dns_ms: float
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


def kind_of(head: Head) -> Kind | None:
    """Return what answers so over HTTP; None for an ordinary page, or an error."""
    content = head.get(b"content-type").lower()
    if head.status == 200 and content.startswith(b"text/event-stream"):
        return "sse"
    if head.status == 204 or (head.status == 200 and b"json" in content):
        return "longpoll"
    return None


def wants_upgrade(head: Head) -> bool:
    """Whether a refusal says that a WebSocket is there (RFC 6455 §4.4)."""
    return b"websocket" in head.tokens(b"upgrade") or bool(head.get(b"sec-websocket-version"))


def not_real_time(url: Url, head: Head, kind: Kind | None) -> ConnectFailed:
    """Return the error for an answer that is none of what was looked for."""
    content = head.get(b"content-type").decode("latin-1").partition(";")[0] or "no type"
    wanted = "real-time" if kind is None else _KINDS[kind]
    advice = "does it need credentials?" if head.status in (401, 403) else "is the path right, such as /ws?"
    if 300 <= head.status < 400:
        advice = f"it redirects to {head.get(b'location').decode('latin-1')!r}: give that URL"
    return ConnectFailed(
        f"{url.address} answered HTTP {head.status} with {content}, which is not {wanted}: {advice}",
        retryable=False,
        status=head.status,
    )
