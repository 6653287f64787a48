"""Recognises from an HTTP answer whether an endpoint is a WebSocket, an event stream or a long poll."""

from __future__ import annotations

from typing import Final, Literal

from rtlab.errors import ConnectFailed
from rtlab.protocol.http1_message_parser import Head
from rtlab.protocol.urls import Url

__all__ = ["EXAMPLE", "EndpointKind", "kind_at", "not_real_time"]

EndpointKind = Literal["websocket", "sse", "longpoll"]

#: Example URLs for the error messages of `probe` and `follow`.
EXAMPLE: Final = "wss://example.org/live or https://example.org/events"

_KINDS: Final[dict[EndpointKind, str]] = {
    "websocket": "a WebSocket",
    "sse": "an event stream",
    "longpoll": "a long poll",
}


def kind_at(url: Url, head: Head, kind: EndpointKind | None) -> EndpointKind:
    """Return the kind of endpoint, recognised from its answer to an HTTP request.

    Parameters
    ----------
    url : Url
        URL of the endpoint, for the error message.
    head : Head
        Head of the answer to a request with ``Accept: text/event-stream, application/json``.
    kind : {"websocket", "sse", "longpoll"} or None
        The kind to expect. None accepts any kind.

    Raises
    ------
    ConnectFailed
        When the answer is an ordinary page or an error, or shows another kind than `kind`.
    """
    content = head.get(b"content-type").lower()
    found: EndpointKind | None = None
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
    """Return whether a refusal shows that the endpoint is a WebSocket (RFC 6455 §4.4)."""
    return b"websocket" in head.tokens(b"upgrade") or bool(head.get(b"sec-websocket-version"))


def not_real_time(url: Url, head: Head, kind: EndpointKind | None) -> ConnectFailed:
    """Return the error for an answer that does not show the expected kind of endpoint."""
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
