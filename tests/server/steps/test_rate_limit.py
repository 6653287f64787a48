"""LimitRate in the one way in: whose messages it counts, what it costs, what the client is told."""

from __future__ import annotations

import time

import pytest

from rtlab.policies.rate_limit import parse_rate_limit
from rtlab.protocol.codecs import JSON
from rtlab.server.brokers.memory import MemoryBroker
from rtlab.server.handlers import Services
from rtlab.server.ingress import Ingress
from rtlab.server.refusal import Result
from rtlab.server.rooms.hub import Hub
from rtlab.server.sessions import Session, SessionLimits
from rtlab.server.steps import rate_limit
from rtlab.server.steps.rate_limit import LimitRate


class Bench:
    def __init__(self, *limits: str) -> None:
        self.now = 0.0
        self.expelled: list[Session] = []
        hub = Hub(time.monotonic)
        self.limits = [LimitRate(parse_rate_limit(text), lambda: self.now) for text in limits]
        self.ingress = Ingress(
            Services(hub, MemoryBroker(hub), time.monotonic),
            1 << 20,
            self.expelled.append,
            before_decoding=[limit for limit in self.limits if limit.before_decoding],
            after_decoding=[limit for limit in self.limits if not limit.before_decoding],
        )
        self.names = 0

    def session(self, user: str = "ada", address: str = "127.0.0.1") -> Session:
        self.names += 1
        session = Session(f"s{self.names}", f"c{self.names}", user, SessionLimits())
        session.address = address
        return session

    def say(self, session: Session, text: str = '{"type":"echo"}') -> Result:
        result = self.ingress.receive(session, text, JSON)
        assert isinstance(result, dict)
        return result


def told(session: Session) -> list[str]:
    return [frame.message.type for _, frame in session.after(0)]


def test_a_burst_passes_and_the_rest_is_told_when_to_come_back() -> None:
    bench = Bench("connection messages 10 3")
    session = bench.session()
    results = [bench.say(session, '{"type":"echo","id":"7"}') for _ in range(4)]
    assert [r["ok"] for r in results] == [True, True, True, False]
    assert told(session) == ["echo", "echo", "echo", "error"]
    error = results[3]["error"]
    assert (error["code"], error["retryAfter"], error["ref"]) == ("rate_limited", 0.1, "7")
    bench.now = 0.1
    assert bench.say(session)["ok"]


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        ("connection", None, ("ada", "127.0.0.1")),
        ("user", ("ada", "127.0.0.2"), ("bob", "127.0.0.1")),
        ("address", ("bob", "127.0.0.1"), ("ada", "127.0.0.2")),
    ],
)
def test_a_limit_is_shared_within_its_scope_only(
    scope: str, same: tuple[str, str] | None, other: tuple[str, str]
) -> None:
    bench = Bench(f"{scope} messages 1 1")
    first = bench.session("ada", "127.0.0.1")
    assert bench.say(first)["ok"]
    assert not bench.say(first if same is None else bench.session(*same))["ok"]
    assert bench.say(bench.session(*other))["ok"]


def test_a_room_has_a_limit_of_its_own_in_bytes_too() -> None:
    bench = Bench("room bytes 10 200")
    session = bench.session()
    for room in "ab":
        assert bench.say(session, f'{{"type":"join_room","roomId":"{room}"}}')["ok"]
    chat = '{"type":"chat","roomId":"%s","payload":"' + "x" * 100 + '"}'
    assert [bench.say(session, chat % room)["ok"] for room in "aba"] == [True, True, False]


@pytest.mark.parametrize("limit", ["connection messages 1 4", "room messages 1 3"])
def test_a_batch_is_no_way_around(limit: str) -> None:
    bench = Bench(limit)
    session = bench.session()
    session.rooms["r"] = None
    items = ",".join(['{"type":"chat","roomId":"r"}'] * 6)
    bench.say(session, f'{{"type":"batch","payload":[{items}]}}')
    ack = [frame.message for _, frame in session.after(0)][-1]
    assert [result["ok"] for result in ack.payload["results"]] == [True] * 3 + [False] * 3


def test_bytes_over_the_limit_are_not_even_decoded() -> None:
    bench = Bench("connection bytes 10 40")
    session = bench.session()
    assert bench.say(session)["ok"]
    result = bench.say(session, "{" * 30)
    assert result["error"]["code"] == "rate_limited"
    assert session.unreadable == 0
    assert "split it" in bench.say(session, "x" * 50)["error"]["message"]


def test_who_goes_on_is_sent_away() -> None:
    bench = Bench("connection messages 1 1")
    session = bench.session()
    for _ in range(201):
        bench.say(session)
    assert bench.expelled[0] is session
    assert session.ended is not None
    assert (session.ended.close_code, session.ended.code) == (1008, "rate_limited")
    assert bench.say(session)["error"]["code"] == "rate_limited"


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_KEYS", 10)
    bench = Bench("address messages 1 1")
    for n in range(50):
        bench.now += 0.5
        bench.say(bench.session(address=str(n)))
    assert len(bench.limits[0]._buckets) <= 10
