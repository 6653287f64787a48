from __future__ import annotations

import pytest

from rtlab.widgets.escaped_bytes_parser import parse_portions


@pytest.mark.parametrize(
    ("typed", "portions"),
    [
        (r"data: a\r|\n\xff", [b"data: a\r", b"\n\xff"]),
        ("data: a\n\n", [b"data: a\n\n"]),
        (r"\u2028\0\|\t\\", [b"\xe2\x80\xa8\0|\t\\"]),
        ("grü|ße", ["grü".encode(), "ße".encode()]),
        ("|a||b|", [b"a", b"b"]),
        (r"\xc3|\xbc", [b"\xc3", b"\xbc"]),
        ("", []),
    ],
)
def test_what_is_typed_is_what_comes(typed: str, portions: list[bytes]):
    assert parse_portions(typed) == portions


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (r"data\q", r"character 5: \\q is no escape"),
        ("a\\", "a backslash at the end"),
        (r"\xZ1", "expected 2 hexadecimal digits"),
        (r"\x|", "expected 2 hexadecimal digits"),
        (r"\u20", "expected 4 hexadecimal digits"),
        (r"\ud800", "half a pair"),
        ("\ud800", "half a pair"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(typed: str, words: str):
    with pytest.raises(ValueError, match=words):
        parse_portions(typed)
