"""What an HTTP answer says about the next attempt: the one table for every transport and every POST."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from rtlab.errors import MessageError
from rtlab.protocol.codecs import parse_json
from rtlab.protocol.urls import redacted

__all__ = [
    "MAX_RETRY_AFTER",
    "REDIRECTS",
    "UNFINISHED",
    "closed_by",
    "code_in",
    "is_web_page",
    "may_retry",
    "reason_in",
    "retry_after",
]

MAX_REASON_CHARS: Final = 300

#: Seconds; what a server asks for beyond a day is read as a day.
MAX_RETRY_AFTER: Final = 86_400.0

#: Answers whose ``Location`` is followed (RFC 9110 §15.4); the others mean something else.
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

#: Client errors that another attempt may not meet again: 408 came too late, 421 reached the wrong
#: server and may be repeated on a new connection (RFC 9110 §15.5.9, §15.5.20), 425 came too
#: early (RFC 8470 §5.2), 429 too often (RFC 6585 §4). An attempt always opens a new connection.
UNFINISHED: Final = frozenset({408, 421, 425, 429})

#: What answers within a session of ours mean, where it is not what `may_retry` says: close code, and
#: whether to reconnect. 404 and 410: the session has expired, and a reconnect begins another.
_IN_A_SESSION: Final = {
    401: (1008, False),
    403: (1008, False),
    404: (1006, True),
    409: (4500, False),
    410: (1006, True),
}

#: What a 401 with one of these words means: an expired token can be replaced, a revoked login cannot.
_OF_TOKENS: Final = {"token_expired": (4001, True), "revoked": (4501, False)}


def may_retry(status: int, content_type: str = "") -> bool:
    """Say whether another attempt at the same request may succeed where this answer came.

    Parameters
    ----------
    status : int
        Not what the request hoped for.
    content_type : str
        A web page with 200 is a captive portal's, or a proxy's: the server itself has not answered.

    Examples
    --------
    >>> [status for status in (400, 401, 404, 408, 421, 429, 503) if may_retry(status)]
    [408, 421, 429, 503]
    >>> may_retry(200), may_retry(200, "text/html; charset=utf-8")
    (False, True)
    """
    return status >= 500 or status in UNFINISHED or (status == 200 and is_web_page(content_type))


def is_web_page(content_type: str) -> bool:
    """Say whether a ``Content-Type`` is that of a page for people, which no endpoint of ours answers with."""
    return content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")


def closed_by(status: int, content_type: str = "", code: str = "") -> tuple[int, bool]:
    """Return the close code that ends a session whose request was answered so, and whether to reconnect.

    Parameters
    ----------
    status, content_type : int and str
        Of the answer.
    code : str
        The stable word in its body (`code_in`): of a server of ours it says more than the status.

    Examples
    --------
    >>> closed_by(410), closed_by(429), closed_by(400)
    ((1006, True), (1013, True), (1008, False))
    """
    if code in _OF_TOKENS:
        return _OF_TOKENS[code]
    again = may_retry(status, content_type)
    return _IN_A_SESSION.get(status, (1013 if again else 1008, again))


def code_in(body: bytes) -> str:
    """Return the stable word of a refusal of our server; empty for any other body."""
    try:
        said: Any = parse_json(body)["error"]["code"]
    except (MessageError, LookupError, TypeError):
        return ""
    return said if isinstance(said, str) else ""


def reason_in(body: bytes | bytearray | None, content_type: str = "") -> str:
    """Return what the body of a refusal says to people, on one line; empty for nothing.

    Parameters
    ----------
    body : bytes or None
        The body, or its beginning. A server of ours answers ``{"error": {"message": ...}}``.
    content_type : str
        Of a web page nothing is shown.

    Examples
    --------
    >>> reason_in(b'{"error": {"code": "full", "message": "no room"}}'), reason_in(b"Bad\\n Gateway")
    ('no room', 'Bad Gateway')
    """
    if not body or is_web_page(content_type) or body.lstrip()[:1] == b"<":
        return ""
    text = bytes(body[: 4 * MAX_REASON_CHARS]).decode("utf-8", "replace")
    try:
        said: Any = parse_json(bytes(body))["error"]["message"]
    except (MessageError, LookupError, TypeError):
        pass
    else:
        text = said if isinstance(said, str) else text
    return redacted(" ".join(text.split()))[:MAX_REASON_CHARS]


def retry_after(text: str, date: str = "", *, now: float) -> float | None:
    """Read ``Retry-After`` (RFC 9110 §10.2.3) as seconds; None without a readable one.

    Parameters
    ----------
    text : str
        The field: seconds, or a date in any of the three forms of RFC 9110 §5.6.7.
    date : str
        The answer's own ``Date``: a date counts from there, so that the two clocks need
        not agree.
    now : float
        The time in seconds since 1970, for an answer without a ``Date``.

    Returns
    -------
    float or None
        From 0 to `MAX_RETRY_AFTER`.

    Examples
    --------
    >>> retry_after("7", now=0.0), retry_after("soon", now=0.0)
    (7.0, None)
    >>> retry_after("Thu Jan  1 00:01:00 1970", now=0.0)
    60.0
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    then = _seconds_of(text)
    if then is None:
        return None
    sent = _seconds_of(date)
    return min(max(0.0, then - (now if sent is None else sent)), MAX_RETRY_AFTER)


def _seconds_of(date: str) -> float | None:
    """Return an HTTP date as seconds since 1970; all of its forms are in UTC."""
    try:
        moment: datetime = parsedate_to_datetime(date.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    except (ValueError, TypeError, LookupError, OverflowError):  # email's parser raises any of them
        return None
    return seconds if math.isfinite(seconds) else None
