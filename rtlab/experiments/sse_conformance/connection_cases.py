"""The rules for an event stream's connection as a table: a server's answers, what a client must do.

The rules are from the HTML standard, section 9.2: content type, status, redirects, reconnecting.
"""

from __future__ import annotations

from typing import Final

import msgspec

from rtlab.testing.scripted_http import response

__all__ = ["CONNECTION_CASES", "CONNECTION_RULES", "ConnectionCase"]

CONNECTION_RULES: Final[dict[int, str]] = {
    13: "the content type is exactly text/event-stream",
    14: "status 200 alone; redirects are followed",
    15: "a lost stream is asked for again, with Last-Event-ID",
    16: "a 204 ends the retries",
    17: "Accept and Cache-Control are sent, the caller's headers stay",
}


class ConnectionCase(msgspec.Struct, frozen=True):
    """One test case: the server's answers, the events that the client must deliver, what it must send.

    Parameters
    ----------
    rule : int
        A key of `CONNECTION_RULES`.
    name : str
        What distinguishes the case.
    answers : tuple of bytes
        The server's answer to each request; the last one is also the answer to all further requests.
    data : tuple of str
        Data of the events that the client must deliver.
    at_most : int or None
        Largest number of requests that the client may send; None: no limit.
    sent : dict
        Headers that the client's last request must have, by lower-case name.
    keeps_headers : bool
        Whether the case also checks that the client leaves the caller's headers unchanged.
    """

    rule: int
    name: str
    answers: tuple[bytes, ...]
    data: tuple[str, ...] = ()
    at_most: int | None = None
    sent: dict[str, bytes] = {}
    keeps_headers: bool = False


def _stream(body: str, content_type: str = "text/event-stream", status: int = 200) -> bytes:
    return response(status, body.encode(), content_type=content_type)


_X: Final = _stream("data: x\n\n")
_FIRST: Final = _stream("retry: 1\nid: …é\ndata: a\n\n")
_STOP: Final = response(204)
_Case = ConnectionCase

CONNECTION_CASES: Final[tuple[ConnectionCase, ...]] = (
    *(
        _Case(13, kind, (_stream("retry: 1\ndata: x\n\n", kind), _STOP), ("x",))
        for kind in ("text/event-stream", "text/event-stream;charset=utf-8")
    ),
    *(
        _Case(13, f"not {kind!r}", (_stream("data: x\n\n", kind),), at_most=1)
        for kind in ("text/html", "text/event-stream-x", "x-text/event-stream", "")
    ),
    *(
        _Case(14, f"not {status}", (_stream("data: x\n\n", status=status),), at_most=1)
        for status in (201, 210, 299, 404, 410, 503)
    ),
    *(
        _Case(14, f"follows {status}", (response(status, location="/b"), _FIRST, _STOP), ("a",))
        for status in (301, 302, 303, 307, 308)
    ),
    _Case(15, "at the end", (_FIRST, _X, _STOP), ("a", "x")),
    _Case(15, "after a cut", (_FIRST.replace(b"Length: ", b"Length: 9"), _X, _STOP), ("a", "x")),
    _Case(15, "sends the id", (_FIRST, _STOP), ("a",), sent={"last-event-id": "…é".encode()}),
    _Case(16, "at first", (_STOP,), at_most=1),
    _Case(16, "later", (_FIRST, _STOP), ("a",), at_most=2),
    _Case(17, "Accept", (_STOP,), sent={"accept": b"text/event-stream"}),
    _Case(17, "Cache-Control", (_STOP,), sent={"cache-control": b"no-cache"}),
    _Case(17, "the caller's", (_STOP,), keeps_headers=True),
)
