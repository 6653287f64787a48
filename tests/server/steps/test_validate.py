"""Validation in the one way in: refused with the path, five strikes and out, in a batch too."""

from __future__ import annotations

import msgspec
import pytest

from rtlab.protocol.codecs import JSON, MSGPACK, Codec
from rtlab.protocol.schemas import Schemas
from tests.server.steps.bench import Bench, results_of_batch


def strict() -> Bench:
    return Bench(schemas=Schemas.load(), strict_keys=True)


async def test_a_wrong_payload_is_refused_and_five_end_the_session() -> None:
    bench = strict()
    session = bench.session(rooms=("r",))
    for _ in range(4):
        result = bench.say(session, '{"type":"chat","roomId":"r","id":"1","payload":{"text":5}}')
        assert result["error"]["code"] == "schema"
        assert result["error"]["message"].startswith("chat: payload/text: ")
    assert bench.say(session, '{"type":"chat","roomId":"r","payload":{"text":"hi"}}')["ok"]
    assert session.ended is None
    bench.say(session, '{"type":"chat","roomId":"r","payload":{"text":5}}')
    assert session.ended is not None
    assert session.ended.close_code == 1008


async def test_an_open_server_pays_for_nothing() -> None:
    assert [type(step).__name__ for step in Bench().node.ingress.steps] == [
        "CheckStanding",
        "Decode",
        "CheckId",
    ]


async def test_items_of_a_batch_are_validated_too() -> None:
    bench = strict()
    session = bench.session(rooms=("r",))
    bench.say(session, '{"type":"batch","payload":[{"type":"chat","roomId":"r","payload":{"text":""}}]}')
    assert results_of_batch(session)[0]["error"]["code"] == "schema"


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_a_key_that_stands_twice_is_refused_before_one_value_is_lost(codec: Codec) -> None:
    bench = strict()
    session = bench.session(rooms=("r",))
    if codec is JSON:
        data = b'{"type":"order","roomId":"r","payload":{"item":"tea","quantity":1,"quantity":9}}'
    else:
        pack = msgspec.msgpack.encode
        pairs = [("item", "tea"), ("quantity", 1), ("quantity", 9)]
        payload = b"\x83" + b"".join(pack(key) + pack(value) for key, value in pairs)
        data = b"\x83" + pack("type") + pack("order") + pack("roomId") + pack("r") + pack("payload") + payload
    assert bench.say(session, data, codec)["error"]["code"] == "duplicate_key"
    assert session.strikes == 1
