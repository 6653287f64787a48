from __future__ import annotations

import pytest
from multidict import MultiDict

from rtlab.server.connect_request_parser import BadConnectRequest, ConnectRequest, read_connect_request
from rtlab.server.last_event_id_cursor import Cursor


def test_everything_is_optional() -> None:
    assert read_connect_request(MultiDict(), {}) == ConnectRequest()


def test_all_parameters_are_read() -> None:
    query = MultiDict(clientId="a.b-c_1", user="ada", session="s_-1", seq="12")
    query.extend([("room", "x"), ("room", "y z")])
    assert read_connect_request(query, {}) == ConnectRequest(
        client_id="a.b-c_1", user="ada", session="s_-1", seq=12, rooms=("x", "y z")
    )


def test_the_header_goes_before_the_parameters() -> None:
    query = MultiDict(lastEventId="s.2", cursor="s.3")
    assert read_connect_request(query, {"Last-Event-ID": "s.1"}).cursor == Cursor("s", 1)
    assert read_connect_request(query, {}).cursor == Cursor("s", 2)
    del query["lastEventId"]
    assert read_connect_request(query, {}).cursor == Cursor("s", 3)


@pytest.mark.parametrize("token", ["nonsense", "s.x", "é.1"])
def test_a_token_that_cannot_be_read_counts_as_none(token: str) -> None:
    assert read_connect_request(MultiDict(), {"Last-Event-ID": token}).cursor is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clientId", ""), ("clientId", "a b"), ("clientId", "x" * 65), ("clientId", "é"), ("user", "<b>"),
        ("session", "a/b"), ("seq", "-1"), ("seq", "1.5"), ("seq", "x"), ("seq", "9" * 16), ("seq", "²"),
    ],
)  # fmt: skip
def test_wrong_names_are_refused_with_what_was_expected(name: str, value: str) -> None:
    with pytest.raises(BadConnectRequest, match=rf"{name}: expected"):
        read_connect_request(MultiDict({name: value}), {})
