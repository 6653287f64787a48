"""Exchanges out of made-up bytes; those of real long polls are in `test_long_poll_delay`."""

from __future__ import annotations

import math

import pytest

from rtlab.capture.captured_http_exchanges import Exchange, exchanges
from rtlab.capture.tcp_tap import TappedConnection
from rtlab.errors import MessageError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def tapped(up: bytes, down: bytes = b"", *, keep: int = 1 << 20, size: int = 1 << 20) -> TappedConnection:
    connection = TappedConnection(0, keep)
    for side, data in ((True, up), (False, down)):
        for at in range(0, len(data), size):
            connection.saw(side, data[at : at + size], float(at))
    return connection


def ask(target: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n\r\n"


def seen(found: list[Exchange]) -> list[tuple[str, int, bytes]]:
    return [(exchange.path, exchange.status, exchange.body) for exchange in found]


def test_an_interim_response_is_no_answer() -> None:
    down = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"body"
    found = exchanges(tapped(ask(b"/a", b"POST") + ask(b"/b"), down + OK + b"more"))
    assert seen(found) == [("/a", 200, b"body"), ("/b", 200, b"more")]


def test_the_answer_to_head_has_no_body() -> None:
    found = exchanges(tapped(ask(b"/poll", b"HEAD") + ask(b"/b"), OK + OK + b"body"))
    assert seen(found) == [("/poll", 200, b""), ("/b", 200, b"body")]
    assert found[0].messages == []


def test_what_follows_an_upgrade_is_not_read() -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    found = exchanges(tapped(ask(b"/ws") + b"\x81\x80\x00\x00\x00\x00", switch + b"\x81\x00"))
    assert seen(found) == [("/ws", 101, b"")]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (b"\x16\x03\x01\x02\x00", b""),
        (ask(b"/"), b"\x16\x03\x03\x00"),
        (ask(b"http://[/a"), OK + b"body"),
    ],
)
def test_what_is_no_http_is_one_error_of_ours(up: bytes, down: bytes) -> None:
    with pytest.raises(MessageError, match="expected"):
        exchanges(tapped(up, down))


@pytest.mark.parametrize(
    ("target", "path"), [(b"//[/a?x=1", "//[/a"), (b"//h/a?x=1", "//h/a"), (b"http://h/a?x=1", "/a")]
)
def test_a_target_is_read_as_one_and_not_as_a_link(target: bytes, path: str) -> None:
    [one] = exchanges(tapped(ask(target), OK + b"body"))
    assert (one.path, one.query) == (path, {"x": "1"})


def test_more_portions_than_the_tap_notes_get_the_time_of_the_last_noted_one() -> None:
    down = b"HTTP/1.1 204 No Content\r\n\r\n"
    [one] = exchanges(tapped(ask(b"/"), down, keep=64, size=7))  # it notes 64 / 16 portions of both sides
    assert (one.asked, one.answered) == (14.0, 0.0)
    [one] = exchanges(tapped(ask(b"/"), down, keep=64, size=1))
    assert one.asked == 3.0
    assert math.isnan(one.answered)  # nothing is known of the other side
