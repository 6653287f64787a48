"""Validation in the one way in: refused with the path, five strikes and out, in a batch too."""

from __future__ import annotations

import time

import msgspec
import pytest

from rtlab.protocol.codecs import JSON, MSGPACK, Codec
from rtlab.protocol.schemas import Schemas
from rtlab.server.brokers.memory import MemoryBroker
from rtlab.server.handlers import Services
from rtlab.server.ingress import Ingress
from rtlab.server.options import Options
from rtlab.server.refusal import Result
from rtlab.server.rooms.hub import Hub
from rtlab.server.sessions import Session, SessionLimits
from rtlab.server.steps.chosen import make_steps


class Bench:
    def __init__(self) -> None:
        self.expelled: list[Session] = []
        hub = Hub(time.monotonic)
        before, after = make_steps(Options(token="t", schemas=Schemas.load(), strict_keys=True), [])
        services = Services(hub, MemoryBroker(hub), time.monotonic)
        self.ingress = Ingress(
            services, 1 << 20, self.expelled.append, before_decoding=before, after_decoding=after
        )
        self.session = Session("s", "ada", "ada", SessionLimits())
        hub.join(self.session, "r", None, None)
        self.session.rooms["r"] = None

    def say(self, data: str | bytes, codec: Codec = JSON) -> Result:
        result = self.ingress.receive(self.session, data, codec)
        assert isinstance(result, dict)
        return result


def test_a_wrong_payload_is_refused_and_five_end_the_session() -> None:
    bench = Bench()
    for _ in range(4):
        result = bench.say('{"type":"chat","roomId":"r","id":"1","payload":{"text":5}}')
        assert result["error"]["code"] == "schema"
        assert result["error"]["message"].startswith("chat: payload/text: ")
    assert bench.say('{"type":"chat","roomId":"r","payload":{"text":"hi"}}')["ok"]
    assert bench.expelled == []
    bench.say('{"type":"chat","roomId":"r","payload":{"text":5}}')
    assert bench.expelled == [bench.session]
    assert bench.session.ended is not None
    assert bench.session.ended.close_code == 1008


def test_items_of_a_batch_are_validated_too() -> None:
    bench = Bench()
    bench.say('{"type":"batch","payload":[{"type":"chat","roomId":"r","payload":{"text":""}}]}')
    (ack,) = [frame.message for _, frame in bench.session.after(0)]
    assert ack.payload["results"][0]["error"]["code"] == "schema"


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_a_key_that_stands_twice_is_refused_before_one_value_is_lost(codec: Codec) -> None:
    bench = Bench()
    if codec is JSON:
        data = b'{"type":"order","roomId":"r","payload":{"item":"tea","quantity":1,"quantity":9}}'
    else:
        pack = msgspec.msgpack.encode
        pairs = [("item", "tea"), ("quantity", 1), ("quantity", 9)]
        payload = b"\x83" + b"".join(pack(key) + pack(value) for key, value in pairs)
        data = b"\x83" + pack("type") + pack("order") + pack("roomId") + pack("r") + pack("payload") + payload
    assert bench.say(data, codec)["error"]["code"] == "duplicate_key"
    assert bench.session.strikes == 1
