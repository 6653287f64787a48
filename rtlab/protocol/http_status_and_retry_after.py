"""What an HTTP status implies for the next attempt: the same rules for every transport and every POST."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.redaction import redacted

__all__ = [
    "MAX_RETRY_AFTER",
    "REDIRECTS",
    "UNFINISHED",
    "close_code_for",
    "code_in",
    "is_web_page",
    "may_retry",
    "reason_in",
    "retry_after",
]

MAX_REASON_CHARS: Final = 300

#: The longest accepted ``Retry-After``, in seconds; longer ones are read as one day.
MAX_RETRY_AFTER: Final = 86_400.0

#: Statuses whose ``Location`` is followed (RFC 9110 §15.4); other 3xx statuses are not followed.
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

#: Client errors that may not recur at another attempt, which always opens a new connection. The request
#: came too late (408), at the wrong server (421; RFC 9110 §15.5.9, §15.5.20), too early (425; RFC 8470
#: §5.2) or too often (429; RFC 6585 §4).
UNFINISHED: Final = frozenset({408, 421, 425, 429})

#: Statuses that mean something else within an rtlab session than `may_retry` says: the close code, and
#: whether to reconnect. After 404 and 410 the session has expired, and a reconnect begins a new one.
_IN_A_SESSION: Final = {
    401: (1008, False),
    403: (1008, False),
    404: (1006, True),
    409: (4500, False),
    410: (1006, True),
}

#: Error codes of a 401: an expired token can be renewed, a revoked login cannot.
_OF_TOKENS: Final = {"token_expired": (4001, True), "revoked": (4501, False)}


def may_retry(status: int, content_type: str = "") -> bool:
    """Return whether another attempt at the same request may succeed after this answer.

    Parameters
    ----------
    status : int
        The status of the answer, which did not satisfy the request.
    content_type : str
        The answer's ``Content-Type``. A web page with status 200 comes from a captive portal or a
        proxy: the server itself has not answered.

    Examples
    --------
    >>> [status for status in (400, 401, 404, 408, 421, 429, 503) if may_retry(status)]
    [408, 421, 429, 503]
    >>> may_retry(200), may_retry(200, "text/html; charset=utf-8")
    (False, True)
    """
    return status >= 500 or status in UNFINISHED or (status == 200 and is_web_page(content_type))


def is_web_page(content_type: str) -> bool:
    """Return whether a ``Content-Type`` is that of a web page, which no rtlab endpoint answers with."""
    return content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")


def close_code_for(status: int, content_type: str = "", code: str = "") -> tuple[int, bool]:
    """Return the close code for a session that an HTTP answer ended, and whether to reconnect.

    Parameters
    ----------
    status, content_type : int and str
        The answer's status and ``Content-Type``.
    code : str
        The error code in the answer's body (`code_in`); it may say more than the status.

    Examples
    --------
    >>> close_code_for(410), close_code_for(429), close_code_for(400)
    ((1006, True), (1013, True), (1008, False))
    """
    if code in _OF_TOKENS:
        return _OF_TOKENS[code]
    again = may_retry(status, content_type)
    return _IN_A_SESSION.get(status, (1013 if again else 1008, again))


def code_in(body: bytes) -> str:
    """Return the error code in the body of an rtlab server's refusal; empty for any other body."""
    try:
        said: Any = parse_json(body)["error"]["code"]
    except (MessageError, LookupError, TypeError):
        return ""
    return said if isinstance(said, str) else ""


def reason_in(body: bytes | bytearray | None, content_type: str = "") -> str:
    """Return the explanation for people in the body of a refusal, on one line; empty without one.

    Parameters
    ----------
    body : bytes or None
        The body, or its beginning. An rtlab server answers ``{"error": {"message": ...}}``.
    content_type : str
        The answer's ``Content-Type``; the text of a web page is not returned.

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
    """Return ``Retry-After`` (RFC 9110 §10.2.3) in seconds; None if it is missing or malformed.

    Parameters
    ----------
    text : str
        The field's value: seconds, or a date in any of the three forms of RFC 9110 §5.6.7.
    date : str
        The answer's ``Date``. If `text` is a date, the delay counts from this one, so that
        the clocks of client and server need not agree.
    now : float
        The present time in seconds since 1970, for an answer without a ``Date``.

    Returns
    -------
    float or None
        Seconds from 0 to `MAX_RETRY_AFTER`.

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
