"""Both codecs: round trips, and one error for every way in which foreign bytes can be wrong."""

from __future__ import annotations

import contextlib
import json
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.errors import MessageError, MessageTooLarge
from rtlab.protocol.json_and_messagepack_codecs import (
    CODECS,
    JSON,
    MSGPACK,
    JsonCodec,
    MsgpackCodec,
    codec_for,
    parse_json,
)
from rtlab.protocol.limits import MAX_DEPTH
from rtlab.protocol.message_format import Message

both = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)

payloads = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@both
@given(
    type=names,
    payload=payloads,
    id=st.none() | names,
    seq=st.none() | st.integers(0, 2**53),
    room_id=st.none() | names,
    ts=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_round_trip(codec, **fields):
    message = Message(**fields)
    assert codec.decode(codec.encode(message)) == message


def test_the_wire_is_camel_case_and_names_only_what_is_set():
    data = JSON.encode(Message("chat", None, client_id="c", room_id="r", offset=3, epoch="e"))
    assert json.loads(data) == {
        "type": "chat",
        "payload": None,
        "clientId": "c",
        "roomId": "r",
        "offset": 3,
        "epoch": "e",
    }


def test_frames_of_the_seeds_classes_are_understood():
    secure = JSON.decode('{"type":"chat","payload":{"roomId":"r"},"token":"t","timestamp":1700000000000}')
    assert (secure.token, secure.payload) == ("t", {"roomId": "r"})
    batch = JSON.decode('{"type":"batch","payload":[{"type":"a"},{"type":"b"}]}')
    assert [item["type"] for item in batch.payload] == ["a", "b"]
    assert JSON.decode('{"type":"x"}').payload is None


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "malformed"),
        ("hello", "malformed"),
        ('{"type":"x"', "malformed"),
        ('{"type":"x"} {}', "malformed"),
        ('{"type":"x","payload":NaN}', "malformed"),
        (b"\xff\xfe\x00", "malformed"),
        (b'{"type":"\xff"}', "malformed"),
        ('{"type":"x","payload":"\\ud800"}', "malformed"),
        ("[]", "not_an_object"),
        ("3", "not_an_object"),
        ("null", "not_an_object"),
        ("{}", "wrong_type"),
        ('{"type":null}', "wrong_type"),
        ('{"type":1}', "wrong_type"),
        ('{"type":"x","offset":"3"}', "wrong_type"),
        ('{"type":"x","roomId":{}}', "wrong_type"),
        ('{"type":"x","payload":1e999}', "wrong_type"),
        (f'{{"type":"x","payload":{{"n":{2**64}}}}}', "payload"),
        (f'{{"type":"x","payload":{-(2**63) - 1}}}', "payload"),
        ('{"type":"x","payload":' + "9" * 5000 + "}", "wrong_type"),
        ('{"type":"x","ts":' + "9" * 400 + "}", "wrong_type"),
        ('{"type":"x","payload":' + "[" * 10_000 + "]" * 10_000 + "}", "too_deep"),
        ('{"type":"x","payload":' + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1) + "}", "too_deep"),
        ("[" * 10_000, "not_an_object"),
    ],
)
def test_bad_json_has_a_defined_result(frame, code):
    with pytest.raises(MessageError) as caught:
        JSON.decode(frame)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"type": "x", "payload": b"bytes"}, "payload"),
        ({"type": "x", "payload": math.nan}, "payload"),
        ({"type": "x", "payload": [math.inf]}, "payload"),
        ({"type": "x", "payload": msgspec.msgpack.Ext(5, b"x")}, "payload"),
        ({"type": "x", "payload": {1: 2}}, "payload"),
        ({"type": 3}, "wrong_type"),
        ([1], "not_an_object"),
    ],
)
def test_messagepack_keeps_to_the_json_data_model(value, code):
    with pytest.raises(MessageError) as caught:
        MSGPACK.decode(msgspec.msgpack.encode(value))
    assert caught.value.code == code


@pytest.mark.parametrize("frame", [b"", b"\x81", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x81" * 10_000])
def test_bad_messagepack_has_a_defined_result(frame):
    with pytest.raises(MessageError):
        MSGPACK.decode(frame)


def _decoders():
    return {**{name: codec.decode for name, codec in CODECS.items()}, "parse_json": parse_json}


#: Pieces that make decoders raise something other than a DecodeError when put together.
PIECES = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\ud8",
        b"\xff",
        b"\xc3",
        b"1e999",
        b"9" * 400,
        b'{"type":"x","payload":',
    ),
    *(b"[" * 2000, b'{"a":' * 2000, b"\x91" * 2000, b"\xa1\xe9", b"\x81\x81\x01"),
    *(b"\x82\xa4type\xa1x\xa7payload", b"\xdd\xff\xff\xff\xff"),
    *(b"\xd6\xff\xff\xff\xff\xff", b"\xc7\x0c\xff\xff\xff\xff\xff"),
]


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=12).map(b"".join)
    | st.text(max_size=100)
    | st.text(st.characters(categories=["Cs", "Ll"]), max_size=20)
)
def test_no_foreign_bytes_make_a_decoder_raise_anything_but_our_error(data):
    for decode in _decoders().values():
        with contextlib.suppress(MessageError):
            decode(data)


@pytest.mark.parametrize(
    "raised",
    [
        msgspec.DecodeError("x"),
        msgspec.ValidationError("x"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
        *(kind("x") for kind in (RecursionError, OverflowError, ValueError, TypeError, MemoryError, OSError)),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_the_library_raises_becomes_our_error(raised, monkeypatch):
    def broken(data, **options):
        raise raised

    for codec in (JsonCodec(), MsgpackCodec()):
        monkeypatch.setattr(codec, "_decode", broken)
        with pytest.raises(MessageError):
            codec.decode(b"{}")
    monkeypatch.setattr(msgspec.json, "decode", broken)
    with pytest.raises(MessageError):
        parse_json(b"{}")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "malformed"),
        (b"\xff", "malformed"),
        (b'{"error":"caf\xe9"}', "malformed"),
        (b"<html>", "malformed"),
        ("\ud800", "malformed"),
        (b"[" * 10_000, "wrong_type"),
        (b'{"a":' * 10_000, "too_deep"),
        (b'{"a":"x"}', "wrong_type"),
    ],
)
def test_a_strangers_document_is_read_or_refused_with_one_error(document, code):
    with pytest.raises(MessageError) as caught:
        parse_json(document, dict[str, int] if code == "wrong_type" else dict[str, Any])
    assert caught.value.code == code
    assert parse_json(b'{"a":1}', dict[str, int]) == {"a": 1} == parse_json('{"a":1}')


def test_the_limit_of_a_text_counts_its_utf8():
    text = '{"type":"x","payload":"' + "€" * 100 + '"}'
    size = len(text.encode())
    assert JSON.decode(text, size).payload == "€" * 100
    with pytest.raises(MessageTooLarge):
        JSON.decode(text, size - 1)


@both
@pytest.mark.parametrize(
    "payload",
    [b"x", math.nan, -math.inf, {1: 2}, {"a": {2}}, 2**64, -(2**63) - 1, "\ud800", Decimal(1)],
    ids=repr,
)
def test_what_is_not_json_is_never_sent(codec, payload):
    with pytest.raises(MessageError) as caught:
        codec.encode(Message("x", payload))
    assert caught.value.code == "payload"


def test_many_brackets_that_are_shallow_pass():
    payload = [[i] for i in range(1000)]
    assert JSON.decode(JSON.encode(Message("x", payload))).payload == payload


@both
def test_size_limits_are_exact_both_ways(codec):
    message = Message("x", "y" * 100)
    size = len(codec.encode(message))
    data = codec.encode(message, max_bytes=size)
    assert codec.decode(data, max_bytes=size) == message
    with pytest.raises(MessageTooLarge) as caught:
        codec.encode(message, max_bytes=size - 1)
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (size, size - 1)
    with pytest.raises(MessageTooLarge):
        codec.decode(data, max_bytes=size - 1)


def test_text_is_no_messagepack():
    with pytest.raises(MessageError, match="binary"):
        MSGPACK.decode("text")


def test_codec_by_subprotocol():
    assert codec_for(None) is JSON
    assert [repr(codec) for codec in CODECS.values()] == [
        "<JsonCodec: rtlab.v1.json>",
        "<MsgpackCodec: rtlab.v1.msgpack>",
    ]
    assert codec_for("rtlab.v1.msgpack") is MSGPACK
    with pytest.raises(MessageError, match=r"rtlab\.v1\.json"):
        codec_for("soap")
