"""Validation in the one way in: refused with the path, five strikes and out, in a batch too."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from rtlab.policies.drop_or_conflate_on_overflow import Overflow
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK, Codec
from rtlab.protocol.message_format import Message
from rtlab.protocol.payload_schemas import Schemas
from rtlab.server.connect_request_parser import ConnectRequest
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions
from tests.server.ingress.bench import Bench, results_of_batch


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
    assert [step.__name__ for step in Bench().node.ingress.steps] == ["check_standing", "decode", "check_id"]


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


async def test_what_another_node_let_pass_is_checked_before_members_get_it() -> None:
    bench = Bench(schemas=Schemas.load())
    session = bench.session(rooms=("lobby",))
    epoch, offset = bench.node.hub.next_place("lobby")
    for n, text in enumerate(["fine", 7]):
        message = Message("chat", {"text": text}, room_id="lobby", epoch=epoch, offset=offset + n)
        bench.node.hub.deliver("lobby", message)
    bench.node.hub.fan_out.finish("lobby")
    good, bad = [frame.message for _, frame in session.after(0)][-2:]
    assert (good.type, good.payload) == ("chat", {"text": "fine"})
    # An error stands in its place: the room's numbers have no gap.
    assert (bad.type, bad.payload["code"], bad.offset, bad.epoch) == ("error", "schema", offset + 1, epoch)
    assert "7" not in bad.payload["message"].replace("payload/text", "")


async def test_every_answer_of_the_server_is_checked_before_it_is_sent() -> None:
    schemas, told = Schemas.load(), list[str]()

    def check(message: Message) -> None:
        told.append(message.type)
        schemas.check(message)

    bench = Bench(schemas=schemas)
    bench.node.sessions.check_outgoing = bench.node.hub.check_outgoing = check
    accepted = bench.node.connections.accept(ConnectRequest(rooms=("lobby",)))
    session = accepted.session
    bench.node.hub.announce()
    bench.node.hub.fan_out.finish("lobby")
    for text in (
        '{"type":"join_room","roomId":"lobby","id":"1"}',
        '{"type":"chat","roomId":"lobby","id":"2","payload":{"text":"x"}}',
        '{"type":"batch","id":"3","payload":[{"type":"echo"},{"type":"chat","roomId":"lobby","payload":1}]}',
        '{"type":"leave_room","roomId":"lobby"}',
        '{"type":"ping"}',
        '{"type":"auth"}',
        '{"type":"no_such"}',
    ):
        bench.say(session, text)
    sent = [accepted.welcome.message, *(frame.message for _, frame in session.after(0))]
    assert sorted(message.type for message in sent) == sorted(told)
    assert {"welcome", "users_update", "chat", "ack", "error", "echo", "pong"} == set(told)
    assert "left out" not in str(sent)


async def test_the_news_of_a_gap_is_checked_too() -> None:
    schemas, told = Schemas.load(), list[Message]()

    def check(message: Message) -> None:
        told.append(message)
        schemas.check(message)

    bench = Bench(schemas=schemas, overflow=OverflowOptions(messages=2, default=Overflow("drop_oldest")))
    hub = bench.node.hub
    hub.check_outgoing = bench.node.sessions.check_outgoing = check
    session = bench.session(rooms=("r",))
    slow = SlowSink()
    session.attach(cast("Any", slow))
    for n in range(5):
        chat = Message("chat", {"text": str(n)}, room_id="r", epoch=hub.next_place("r")[0], offset=n + 1)
        hub.deliver("r", chat)
        hub.fan_out.finish("r")
    slow.congested = False
    session._pump()
    hub.begin("r", "another", 3)
    hub.fan_out.finish("r")
    news = [frame.message for _, frame in session.after(0) if frame.message.type in ("skipped", "resync")]
    assert [message.type for message in news] == ["skipped", "resync"]
    assert all(message in told for message in news)


class SlowSink:
    """A connection that takes nothing until it is told to."""

    transport = "test"
    congested = True

    def write(self, frame: object, position: int) -> None: ...

    def write_burst(self, burst: object, position: int) -> None: ...

    def flush(self) -> None: ...

    def when_writable(self, then: object) -> None: ...


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("ack", {"offset": "1"}),
        ("ack", {"results": [{"id": "1"}]}),
        ("welcome", {"clientId": "c"}),
        ("users_update", [1]),
        ("error", {"code": "x"}),
        ("skipped", {"roomId": "r", "epoch": "e", "from": 1, "policy": "drop_oldest"}),
        ("resync", {"roomId": "r"}),
    ],
)
async def test_an_error_stands_in_place_of_an_answer_that_is_wrong(kind: str, wrong: Any) -> None:
    session = Bench(schemas=Schemas.load()).session()
    session.send(Message(kind, wrong, id="7"))
    ((_, frame),) = session.after(session.position - 1)
    assert (frame.message.type, frame.message.payload["code"], frame.message.id) == ("error", "schema", "7")
