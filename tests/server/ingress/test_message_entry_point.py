from __future__ import annotations

import asyncio
import itertools
import sys
import time
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from rtlab.protocol.limits import MAX_DEPTH
from rtlab.protocol.message_format import RESERVED_TYPES, Message
from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.frames_encoded_once import Burst, EncodedFrame, RoomPosition
from rtlab.server.handlers import Services
from rtlab.server.handlers.batch import MAX_BATCH
from rtlab.server.handlers.start_and_stop_feeds import MAX_FEEDS, MAX_TOTAL_RATE
from rtlab.server.incoming_message import ON_STREAM, Incoming
from rtlab.server.ingress.message_entry_point import Ingress
from rtlab.server.refusal_and_end_reasons import AnswerPayload
from rtlab.server.rooms.name_and_join_rules import MAX_ROOMS
from rtlab.server.rooms.room_limits import HubLimits
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.server.sessions.fixed_schedule_feed import MAX_RATE
from rtlab.server.sessions.outbox_deduplication_and_fencing import ProducerLimits, Producers
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sessions.slow_consumer_queue import OverflowRules
from rtlab.server.sinks.sink_interface import write_each


class Everything:
    """A sink that makes every encoding of every frame, and reads it again."""

    transport: str = "test"
    queued_bytes = 0
    congested = False

    def when_writable(self, then: object) -> None: ...

    def flush(self) -> None: ...

    def write(self, frame: EncodedFrame, position: int) -> None:
        for codec in (JSON, MSGPACK):
            codec.decode(frame.encoded(codec), 2 << 20)
        assert frame.event().count(b"\n") == 2

    def write_burst(self, burst: Burst, position: int) -> None:
        write_each(self, burst, position)

    def close(self, code: int, reason: str = "") -> None: ...

    def abort(self) -> None: ...

    def heartbeat(self) -> None: ...


class AsItIs:
    """What is already a message needs no decoding."""

    subprotocol: ClassVar[str] = "none"
    binary: ClassVar[bool] = False

    def encode(self, message: Message, max_bytes: int = 0) -> bytes:
        raise NotImplementedError

    def decode(self, data: Any, max_bytes: int = 0) -> Message:
        return data


class Bench:
    """An ingress with one session; `say` returns what came down its stream."""

    def __init__(self, **limits: int) -> None:
        self.hub = Hub(time.monotonic, HubLimits(**limits), new_epoch=lambda: "e0")
        self.expelled: list[Session] = []
        services = self.services = Services(
            self.hub,
            SingleNodeBroker(self.hub),
            Producers(time.monotonic, ProducerLimits()),
            time.monotonic,
            Turns(slice_seconds=60),  # a busy machine must not end a turn: all answers come at once here
        )
        self.ingress = Ingress(services, 1 << 20, self.expelled.append)
        self.session = Session("s", "ada", "ada", SessionLimits())

    def receive(self, message: Any) -> AnswerPayload:
        result = self.ingress.receive(self.session, message, AsItIs())
        assert isinstance(result, dict), "the memory broker answers at once"
        return result

    def say(self, type: str, payload: Any = None, **fields: Any) -> list[Message]:
        position = self.session.position
        self.result = self.receive(Message(type, payload, **fields))
        return [frame.message for _, frame in self.session.after(position)]

    def code(self, type: str, payload: Any = None, **fields: Any) -> str:
        (error,) = self.say(type, payload, **fields)
        assert error.type == "error"
        return error.payload["code"]


def test_echo_and_ping_bring_back_what_was_sent() -> None:
    bench = Bench()
    (echo,) = bench.say("echo", {"a": 1}, id="1", ts=5.0)
    assert (echo.type, echo.payload, echo.id, echo.ts) == ("echo", {"a": 1}, "1", 5.0)
    assert echo.sent == pytest.approx(time.monotonic(), abs=1)
    (pong,) = bench.say("ping", 7, id="2")
    assert (pong.type, pong.payload, pong.id) == ("pong", 7, "2")
    assert bench.say("pong") == []


@pytest.mark.parametrize("fields", [{"room_id": "r"}, {"payload": {"roomId": "r"}}])
def test_a_room_is_named_on_top_or_in_the_payload(fields: dict[str, Any]) -> None:
    bench = Bench()
    (ack,) = bench.say("join_room", id="1", **fields)
    assert (ack.type, ack.id, ack.room_id) == ("ack", "1", "r")
    assert ack.payload == {"roomId": "r", "recovered": True, "epoch": "e0", "offset": 0}
    message, ack = bench.say("chat", id="2", token="secret", seq=9, **fields)
    assert (message.type, message.room_id, message.offset, message.epoch) == ("chat", "r", 1, "e0")
    assert (message.client_id, message.id) == ("ada", "2")
    assert b"secret" not in JSON.encode(message)
    assert ack.payload == {"offset": 1, "epoch": "e0"}
    (ack,) = bench.say("leave_room", **fields)
    assert ack.payload == {"roomId": "r"}
    assert bench.code("chat", **fields) == "not_joined"


def test_a_join_is_acknowledged_before_what_was_missed_arrives() -> None:
    bench = Bench()
    bench.say("join_room", room_id="r")
    for n in range(3):
        assert len(bench.say("chat", n, room_id="r")) == 1
    bench.say("leave_room", room_id="r")
    ack, *missed = bench.say("join_room", {"roomId": "r", "epoch": "e0", "offset": 1})
    assert ack.payload["recovered"] is True
    assert [m.offset for m in missed] == [2, 3]
    # A client that got only the ack must not be believed to have the rest.
    assert bench.session.room_positions(bench.session.position - 2) == {"r": RoomPosition("r", "e0", 1)}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Message("dance"), "unknown_type"),
        (Message("welcome"), "reserved_type"),
        (Message("users_update", room_id="r"), "reserved_type"),
        (Message("", room_id="r"), "wrong_payload"),
        (Message("chat\ndata: x", room_id="r"), "wrong_payload"),
        (Message("x" * 129, room_id="r"), "wrong_payload"),
        (Message("chat", {"roomId": 5}), "wrong_payload"),
        (Message("chat", room_id="nowhere"), "not_joined"),
        (Message("join_room"), "wrong_payload"),
        (Message("join_room", {"roomId": ["r"]}), "wrong_payload"),
        (Message("join_room", room_id=""), "wrong_payload"),
        (Message("join_room", room_id="r" * 129), "wrong_payload"),
        (Message("join_room", {"roomId": "r", "epoch": "e"}), "wrong_payload"),
        (Message("join_room", {"roomId": "r", "epoch": 1, "offset": 1}), "wrong_payload"),
        (Message("join_room", {"roomId": "r", "epoch": "e", "offset": True}), "wrong_payload"),
        (Message("join_room", {"roomId": "r", "epoch": "e", "offset": 1.5}), "wrong_payload"),
        (Message("leave_room"), "wrong_payload"),
        (Message("feed"), "wrong_payload"),
        (Message("feed", {"rate": -5}), "wrong_payload"),
        (Message("feed", {"stop": "f9"}), "unknown_feed"),
        (Message("feed", {"stop": ["f9"]}), "unknown_feed"),
        (Message("batch"), "wrong_payload"),
        (Message("batch", {}), "wrong_payload"),
        (Message("batch", [None] * (MAX_BATCH + 1)), "wrong_payload"),
    ],
)
def test_what_cannot_be_obeyed_is_answered_by_one_error(message: Message, code: str) -> None:
    bench = Bench()
    message.id = "9"
    result = bench.receive(message)
    (answer,) = [frame.message for _, frame in bench.session.after(0)]
    assert (answer.type, answer.id) == ("error", "9")
    assert answer.payload["code"] == code
    assert answer.payload["ref"] == "9"
    assert result["ok"] is False


def test_an_offset_without_end_is_not_recovered_and_no_crash() -> None:
    (ack,) = Bench().say("join_room", {"roomId": "r", "epoch": "e0", "offset": 10**30})
    assert ack.payload["recovered"] is False


def test_a_batch_is_obeyed_in_order_and_answered_by_one_ack() -> None:
    bench = Bench()
    items = [
        {"type": "join_room", "payload": {"roomId": "r"}, "id": "a"},
        {"type": "chat", "payload": {"roomId": "r"}, "id": "b"},
        {"type": "echo", "payload": 1},
        {"type": 5},
        "text",
        {"type": "batch", "payload": []},
        {"type": "dance", "id": "c"},
    ]
    chat, echo, ack = bench.say("batch", items, id="9")
    assert (chat.type, echo.type, ack.type, ack.id) == ("chat", "echo", "ack", "9")
    results = ack.payload["results"]
    assert [r["ok"] for r in results] == [True, True, True, False, False, False, False]
    assert [r.get("id") for r in results] == ["a", "b", None, None, None, None, "c"]
    assert results[1]["offset"] == 1
    assert results[6]["error"]["code"] == "unknown_type"
    assert bench.session.room_positions(bench.session.position) == {"r": RoomPosition("r", "e0", 1)}


async def test_a_batch_of_joins_replays_their_histories_in_slices() -> None:
    bench = Bench()
    bench.say("join_room", room_id="r")
    for n in range(20):
        bench.say("chat", n, room_id="r")
    ticks = itertools.count()
    # Each look at the clock is a millisecond later: a turn has four of them.
    bench.services.turns = Turns(lambda: next(ticks) / 1000, slice_seconds=0.004)
    join = {"type": "join_room", "payload": {"roomId": "r", "epoch": "e0", "offset": 0}}
    before = bench.session.position
    result = bench.ingress.receive(bench.session, Message("batch", [join] * 100, id="b"), AsItIs())
    assert isinstance(result, asyncio.Future)
    turns = [bench.session.position - before]
    while not result.done():
        turns.append(bench.session.position - before - sum(turns))
        await asyncio.sleep(0)
    assert max(turns) <= 20 * 8  # messages of histories in one turn; all are 2,000
    assert [one["ok"] for one in result.result()["results"]] == [True] * 100


@pytest.mark.parametrize("deeper", [0, 1])
def test_a_batch_payload_may_nest_only_as_deep_as_a_message(deeper: int) -> None:
    """A batch is checked as a whole, when it is read."""
    deep: Any = None
    for _ in range(MAX_DEPTH + deeper):
        deep = [deep]
    bench = Bench()
    data = msgspec.json.encode({"type": "batch", "id": "1", "payload": [{"type": "echo", "payload": deep}]})
    bench.ingress.receive(bench.session, data, JSON)
    answers = [frame.message for _, frame in bench.session.after(0)]
    if deeper:
        (error,) = answers
        assert error.payload["code"] == "too_deep"
    else:
        assert [answer.type for answer in answers] == ["echo", "ack"]


def test_a_client_can_confirm_what_it_has() -> None:
    bench = Bench()
    for _ in range(5):
        bench.say("ping")
    bench.say("ack", {"seq": 3})
    assert bench.session.floor == 3
    for nonsense in (None, {"seq": "4"}, {"seq": True}, {"seq": 10**30}, {"seq": -1}):
        assert bench.say("ack", nonsense) == []
    assert bench.session.floor == 3


def test_rooms_are_limited_for_a_session_and_for_the_server() -> None:
    bench = Bench()
    for n in range(MAX_ROOMS):
        bench.say("join_room", room_id=f"r{n}")
    assert bench.code("join_room", room_id="one more") == "too_many_rooms"
    assert bench.say("join_room", room_id="r0")[0].type == "ack"
    bench = Bench(rooms=1)
    bench.say("join_room", room_id="a")
    assert bench.code("join_room", room_id="b") == "too_many_rooms"


@pytest.mark.parametrize("kind", ["echo", "dance", "join_room", "leave_room", "batch"])
def test_an_endless_id_is_refused_and_not_repeated(kind: str) -> None:
    (error,) = Bench().say(kind, id="x" * 1_000_000)
    assert error.payload["code"] == "wrong_id"
    assert error.id is None


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("x" * 1_100_000),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=9), some, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["roomId", "epoch", "offset", "rate", "count", "size", "stop", "seq", "type", "payload"]
)
texts = st.text(max_size=5) | st.sampled_from(["r", "y" * 1_100_000])


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.builds(
            Message,
            st.sampled_from([*sorted(RESERVED_TYPES - {"feed"}), "chat", ""]) | texts,
            json_data | st.dictionaries(fields, json_data, max_size=4),
            id=st.none() | texts,
            room_id=st.none() | texts,
            epoch=st.none() | texts,
            offset=st.none() | st.integers(),
            ts=st.none() | st.floats(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_nothing_that_can_be_decoded_raises_or_makes_what_cannot_be_encoded(messages: list[Message]) -> None:
    bench = Bench()
    bench.session.attach(Everything())
    for message in messages:
        assert bench.receive(message)["ok"] in (True, False)


async def test_feeds_are_limited_and_can_be_stopped() -> None:
    bench = Bench()
    for n in range(MAX_FEEDS):
        assert bench.say("feed", {"rate": 1})[0].payload == {"feed": f"f{n + 1}"}
    assert bench.code("feed", {"rate": 1}) == "too_many_feeds"
    (ack,) = bench.say("feed", {"stop": "f1"}, id="3")
    assert (ack.id, ack.payload) == ("3", {"feed": "f1", "stopped": True})
    assert bench.say("feed", {"rate": 1})[0].type == "ack"
    for feed in bench.session.feeds.values():
        feed.stop()


def test_auth_is_answered_although_nothing_asks_for_it() -> None:
    (ack,) = Bench().say("auth", {"token": "x"}, id="1")
    assert (ack.id, ack.payload) == ("1", {"required": False})


OPENING = {"stream": "outbox", "history": "h", "token": "t"}


def numbered(bench: Bench, seq: int, **fields: Any) -> dict[str, Any]:
    answers = bench.say("chat", seq, **{"id": f"m{seq}", "stream": "outbox", "seq": seq, **fields})
    return answers[-1].payload


def test_a_numbered_message_is_handled_once_and_in_order() -> None:
    bench = Bench()
    bench.say("join_room", room_id="r")
    assert numbered(bench, 1, room_id="r")["code"] == "not_opened"
    (opened,) = bench.say("outbox", OPENING, id="0")
    assert opened.payload == {"stream": "outbox", "incarnation": 1, "lastSeq": 0}
    assert numbered(bench, 2, room_id="r")["expected"] == 1
    first = numbered(bench, 1, room_id="r")
    assert first == {"offset": 1, "epoch": "e0"}
    assert numbered(bench, 1, room_id="r") == first  # the stored result, and nothing published
    assert numbered(bench, 2, room_id="r")["offset"] == 2


def test_a_refusal_is_a_result_too_and_uses_up_its_number() -> None:
    bench = Bench()
    bench.say("outbox", OPENING)
    bench.say("join_room", room_id="r")
    assert [numbered(bench, 1, room_id="s")["code"] for _ in range(2)] == ["not_joined", "not_joined"]
    assert numbered(bench, 2, room_id="r")["offset"] == 1
    assert bench.code("join_room", room_id="s", stream="outbox", seq=3) == "reserved_type"
    assert bench.code("outbox", OPENING, stream="outbox", seq=4) == "reserved_type"
    assert bench.code("chat", room_id="r", stream="outbox", seq=0) == "wrong_seq"
    bench.say("outbox", {**OPENING, "base": 9})  # 5 to 8 are not to come any more
    assert numbered(bench, 9, room_id="r")["offset"] == 2


async def test_a_message_that_a_slow_member_held_up_for_too_long_does_not_use_up_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.say("outbox", OPENING)
    bench.say("join_room", room_id="r")
    monkeypatch.setattr(sys.modules["rtlab.server.handlers.publish"], "BLOCK_TIMEOUT", 0.01)
    monkeypatch.setattr(OverflowRules, "may_block", lambda *_: True)
    slow = SimpleNamespace(when_changed=lambda then: None)
    monkeypatch.setattr(bench.hub, "blocker", lambda room_id: slow)
    message = Message("chat", 1, id="m1", stream="outbox", seq=1, room_id="r")
    result = bench.ingress.receive(bench.session, message, AsItIs())
    assert isinstance(result, asyncio.Future)
    assert (await asyncio.wait_for(result, 5))["error"]["code"] == "blocked"
    monkeypatch.setattr(bench.hub, "blocker", lambda room_id: None)
    assert numbered(bench, 1, room_id="r")["offset"] == 1


def test_the_items_of_a_batch_are_numbered_too() -> None:
    bench = Bench()
    bench.say("join_room", room_id="r")
    item = {"type": "chat", "roomId": "r", "stream": "outbox", "id": "a", "seq": 1}
    items = [{"type": "outbox", "payload": OPENING}, item, item, {**item, "seq": 3, "id": "c"}]
    *published, ack = bench.say("batch", items, id="b")
    assert [(message.id, message.seq, message.stream) for message in published] == [("a", 1, "outbox")]
    results = ack.payload["results"]
    assert [result["ok"] for result in results] == [True, True, True, False]
    assert results[1] == results[2]
    assert results[3]["error"]["expected"] == 2


@pytest.mark.parametrize(
    "change", [{"stream": 5}, {"base": 0}, {"token": "x" * 65}, {"after": -1}, {"incarnation": "one"}]
)
def test_an_opening_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    assert Bench().code("outbox", {**OPENING, **change}) == "wrong_payload"


async def test_the_feeds_of_all_sessions_together_have_a_limit_that_ends_give_back() -> None:
    bench = Bench()
    rate = MAX_RATE
    bench.services.feed_rate = MAX_TOTAL_RATE - rate
    bench.say("feed", {"rate": rate})
    assert bench.code("feed", {"rate": 1}) == "too_many_feeds"
    (feed,) = bench.session.feeds.values()
    feed.stop()
    await feed.wait()
    await asyncio.sleep(0)
    assert bench.say("feed", {"rate": 1})[0].type == "ack"
    for running in bench.session.feeds.values():
        running.stop()


def test_a_message_on_its_way_shows_no_token() -> None:
    message = Message("auth", {"token": "SECRET"}, token="SECRET")
    incoming = Incoming(cast("Any", None), b'{"token":"SECRET"}', JSON, ON_STREAM, 0.0, message)
    assert "auth" in repr(incoming)
    assert "SECRET" not in repr(incoming)
