"""Headers that a caller adds."""

from __future__ import annotations

from typing import Any

import pytest

from rtlab.errors import ConnectFailed
from rtlab.protocol.http_headers import check_headers


def test_what_is_right_is_copied() -> None:
    given = {"Authorization": "Bearer a.b", "X": "", "x-~": "\ta b "}
    checked = check_headers(given)
    assert checked == {"Authorization": "Bearer a.b", "X": "", "x-~": "a b"}
    assert given["x-~"] == "\ta b "
    assert check_headers(None) == {}


def test_the_callers_credentials_go_before_the_urls() -> None:
    assert check_headers({"X": "1"}, "Basic eA==") == {"X": "1", "Authorization": "Basic eA=="}
    assert check_headers({"authorization": "Bearer x"}, "Basic eA==") == {"authorization": "Bearer x"}


@pytest.mark.parametrize("value", [5, None, b"x", ["x"], "a\nb", "a\r\nEvil: 1", "\0", "é", "\x7f", "\ud800"])
def test_a_value_that_is_no_text(value: Any) -> None:
    with pytest.raises(ConnectFailed, match="expected the header 'X-Key'") as caught:
        check_headers({"X-Key": value})
    assert not caught.value.retryable


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\n", 5, None, b"x"])
def test_a_name_that_is_none(name: Any) -> None:
    with pytest.raises(ConnectFailed, match="expected a header's name"):
        check_headers({name: "x"})
