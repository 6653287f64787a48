"""Keys that stand twice, in both codecs; everything else is the decoder's to judge."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.errors import MessageError
from rtlab.protocol.duplicate_keys import check_json_keys, check_msgpack_keys

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=20,
)


@given(values)
def test_what_an_encoder_writes_passes(value: Any) -> None:
    check_json_keys(msgspec.json.encode(value))
    check_msgpack_keys(msgspec.msgpack.encode(value))


@given(st.text(max_size=300), values, values)
def test_a_repeat_is_found_in_both(key: str, one: Any, other: Any) -> None:
    name = msgspec.json.encode(key)
    text = b'[{"x":{%b:%b,%b:%b}}]' % (name, msgspec.json.encode(one), name, msgspec.json.encode(other))
    with pytest.raises(MessageError, match="stands twice"):
        check_json_keys(text)
    pack = msgspec.msgpack.encode
    with pytest.raises(MessageError, match="stands twice"):
        check_msgpack_keys(b"\x91\x81\xa1x\x82" + pack(key) + pack(one) + pack(key) + pack(other))


def test_another_spelling_is_the_same_key() -> None:
    with pytest.raises(MessageError):
        check_json_keys(r'{"role": 1, "\u0072ole": 2}')
    with pytest.raises(MessageError):
        check_msgpack_keys(b"\x82\xa1a\x01\xd9\x01a\x02")


@given(st.binary(max_size=200))
def test_other_bytes_raise_nothing_else(data: bytes) -> None:
    for check in (check_json_keys, check_msgpack_keys):
        with contextlib.suppress(MessageError):
            check(data)


@pytest.mark.parametrize(
    "data", [b"\xdf\xff\xff\xff\xff", b"\x91" * 5000, b"\xdd\xff\xff\xff\xff" + b"\xc0" * 9]
)
def test_what_promises_more_than_it_has_ends_at_once(data: bytes) -> None:
    check_msgpack_keys(data)
