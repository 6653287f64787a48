"""The rules for the event stream format as a table of byte streams and the events that they encode.

The rules are from the HTML standard, section 9.2, and the web-platform-tests folder
``eventsource/``. The tests and the scoreboard run the same cases.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["PARSING_CASES", "PARSING_RULES", "ParsingCase"]

PARSING_RULES: Final[dict[int, str]] = {
    1: "one leading BOM is stripped, only one",
    2: "CR, LF and CRLF end a line, nothing else does",
    3: "a line that starts with a colon is a comment",
    4: "an event without its blank line is dropped",
    5: "empty and repeated data fields",
    6: "one space after the colon; names are exact",
    7: "event sets the type once",
    8: "no data, no event; but the id is kept",
    9: "id persists, an empty one resets it, NUL voids it",
    10: "retry is ASCII digits alone",
    11: "UTF-8 whatever the charset; bad bytes become U+FFFD",
    12: "a bare CR ends a line at once",
}


class ParsingCase(msgspec.Struct, frozen=True):
    """One test case: a stream, and the events that a client must deliver before the stream ends.

    Parameters
    ----------
    rule : int
        A key of `PARSING_RULES`.
    name : str
        What distinguishes the case.
    stream : bytes
        Body of the response.
    events : tuple of (type, data, id)
        Events that the stream encodes, in order.
    retry : float or None
        Reconnection time in seconds that the stream sets; None if it sets none.
    last_event_id : str
        ``Last-Event-ID`` that a reconnect would send; empty for none.
    content_type : str
        ``Content-Type`` of the response.
    """

    rule: int
    name: str
    stream: bytes
    events: tuple[tuple[str, str, str], ...] = ()
    retry: float | None = None
    last_event_id: str = ""
    content_type: str = "text/event-stream"


def _said(*data: str) -> tuple[tuple[str, str, str], ...]:
    return tuple(("message", text, "") for text in data)


_X: Final = _said("x")
_BOM: Final = b"\xef\xbb\xbf"

_Case = ParsingCase

PARSING_CASES: Final[tuple[ParsingCase, ...]] = (
    _Case(1, "a BOM", _BOM + b"data: x\n\n", _X),
    _Case(1, "two BOMs", _BOM * 2 + b"data: x\n\ndata: y\n\n", _said("y")),
    _Case(1, "a BOM later", b"data: x\n\n" + _BOM + b"data: y\n\n", _X),
    _Case(1, "two thirds of a BOM", b"\xef\xbbdata: x\n\ndata: y\n\n", _said("y")),
    _Case(1, "a BOM and nothing else", _BOM),
    _Case(2, "LF", b"data: x\n\ndata: y\n\n", _said("x", "y")),
    _Case(2, "CRLF", b"data: x\r\n\r\ndata: y\r\n\r\n", _said("x", "y")),
    _Case(2, "CRLF inside an event", b"event: e\r\ndata: a\r\ndata: b\r\n\r\n", (("e", "a\nb", ""),)),
    _Case(2, "CR", b"data: x\r\rdata: y\r\r:\n", _said("x", "y")),
    _Case(
        2, "mixed", b"data: a\rdata: b\ndata: c\r\n\r\ndata: d\n\r\ndata: e\r\n\n", _said("a\nb\nc", "d", "e")
    ),
    _Case(2, "a lone CR before CRLF", b"data: x\r\r\n", _X),
    _Case(2, "LF CR is two ends", b"data: x\n\rdata: y\n\n", _said("x", "y")),
    _Case(
        2,
        "other separators are text",
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
        _said("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"),
    ),
    _Case(3, "comments between", b":\ndata: x\n: a comment: b\ndata: y\n:\n\n", _said("x\ny")),
    _Case(3, "a comment with NUL", b":\0\ndata: x\n:\0\n\n", _X),
    _Case(3, "a comment of 2 KiB", b": " + b"c" * 2048 + b"\ndata: x\n\n", _X),
    _Case(3, "a comment that looks like data", b":data: y\ndata: x\n\n", _X),
    _Case(3, "only comments", b": hello\n\n: again\n\n"),
    _Case(4, "no blank line", b"data: x\n\ndata: y\n", _X),
    _Case(4, "no line end", b"data: x\n\ndata: y", _X),
    _Case(
        4, "its id is not kept", b"id: 1\ndata: x\n\nid: 2\ndata: y\n", (("message", "x", "1"),), None, "1"
    ),
    _Case(5, "data with a colon", b"data:\n\n", _said("")),
    _Case(5, "data alone", b"data\n\n", _said("")),
    _Case(5, "two empty ones", b"data\ndata:\n\n", _said("\n")),
    _Case(5, "several lines", b"data: a\ndata:\ndata: b\n\n", _said("a\n\nb")),
    _Case(6, "no space", b"data:x\n\n", _X),
    _Case(6, "two spaces", b"data:  x\n\n", _said(" x")),
    _Case(6, "a tab", b"data:\tx\n\n", _said("\tx")),
    _Case(6, "trailing space", b"data: x \n\n", _said("x ")),
    _Case(6, "colons in the value", b"data: a: b:c\n\n", _said("a: b:c")),
    _Case(6, "capitals", b"DATA: y\nData: z\ndata: x\n\n", _X),
    _Case(6, "a leading space", b" data: y\ndata: x\n\n", _X),
    _Case(6, "a space before the colon", b"data : y\ndata: x\n\n", _X),
    _Case(6, "NUL in the name", b"data\0: y\n\0data: z\ndata: x\n\n", _X),
    _Case(6, "unknown fields", b"foo: 1\nbar\ndata: x\nretry-after: 3\n\n", _X),
    _Case(7, "a type", b"event: price\ndata: x\n\n", (("price", "x", ""),)),
    _Case(
        7,
        "for one event",
        b"event: price\ndata: x\n\ndata: y\n\n",
        (("price", "x", ""), ("message", "y", "")),
    ),
    _Case(7, "the last one counts", b"event: a\nevent: b\ndata: x\n\n", (("b", "x", ""),)),
    _Case(7, "an empty one", b"event: a\nevent:\ndata: x\n\n", _X),
    _Case(7, "a name of Object.prototype", b"event: constructor\ndata: x\n\n", (("constructor", "x", ""),)),
    _Case(7, "not ASCII", "event: prix €\ndata: x\n\n".encode(), (("prix €", "x", ""),)),
    _Case(8, "blank lines", b"\n\n\ndata: x\n\n\n\n", _X),
    _Case(8, "a type without data is forgotten", b"event: a\n\ndata: x\n\n", _X),
    _Case(8, "an id without data is kept", b"id: 7\n\ndata: x\n\n", (("message", "x", "7"),), None, "7"),
    _Case(8, "blank lines after an id", b"id: 7\ndata: x\n\n\n\n", (("message", "x", "7"),), None, "7"),
    _Case(8, "retry without data", b"retry: 5\n\n", (), 0.005),
    _Case(
        9,
        "persists",
        b"id: 1\ndata: x\n\ndata: y\n\n",
        (("message", "x", "1"), ("message", "y", "1")),
        None,
        "1",
    ),
    _Case(9, "reset", b"id: 1\ndata: x\n\nid:\ndata: y\n\n", (("message", "x", "1"), ("message", "y", ""))),
    _Case(
        9,
        "reset without a colon",
        b"id: 1\ndata: x\n\nid\ndata: y\n\n",
        (("message", "x", "1"), ("message", "y", "")),
    ),
    _Case(9, "NUL", b"id: 1\nid: a\0b\ndata: x\n\n", (("message", "x", "1"),), None, "1"),
    _Case(9, "UTF-8", "id: …é\ndata: x\n\n".encode(), (("message", "x", "…é"),), None, "…é"),
    _Case(9, "after the data", b"data: x\nid: 3\n\n", (("message", "x", "3"),), None, "3"),
    _Case(10, "digits", b"retry: 1500\ndata: x\n\n", _X, 1.5),
    _Case(10, "leading zeros", b"retry: 0003000\ndata: x\n\n", _X, 3.0),
    _Case(10, "takes effect without a blank line", b"data: x\n\nretry: 20\n", _X, 0.02),
    *(
        _Case(10, f"not {text!r}", b"retry: 7\nretry:" + text.encode() + b"\ndata: x\n\n", _X, 0.007)
        for text in ("", " ", "-5", "+5", "1_000", "  12", "12 ", "1000x", "1.5", "1e3", "0x10", "٣٤", "３")
    ),
    _Case(
        11,
        "UTF-8",
        "data: ok…\n\n".encode(),
        _said("ok…"),
        None,
        "",
        "text/event-stream;charset=windows-1252",
    ),
    _Case(
        11,
        "latin-1 said",
        "data: é\n\n".encode(),
        _said("é"),
        None,
        "",
        "text/event-stream; charset=ISO-8859-1",
    ),
    _Case(11, "a bad byte", b"data: a\xffb\n\n", _said("a\ufffdb")),
    _Case(11, "a cut sequence", b"data: a\xe2\x82\ndata: b\n\n", _said("a\ufffd\nb")),
    _Case(11, "surrogates and overlong forms", b"data: \xed\xa0\x80\xc0\xaf\n\n", _said("\ufffd" * 5)),
    _Case(11, "NUL in data", b"data: a\0b\n\n", _said("a\0b")),
    _Case(12, "at once", b"data: x\r\r", _X),
    _Case(12, "at once after CRLF", b"data: x\r\n\r", _X),
)
