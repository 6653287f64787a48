"""LimitRate in the one way in: whose messages it counts, what it costs, what the client is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.rate_limit_notation import RateLimit, parse_rate_limit
from rtlab.policies.token_bucket import TokenBucket
from rtlab.server.ingress import message_rate_limit
from rtlab.server.ingress.message_rate_limit import LimitRate
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.sessions.session_with_replay import Session
from tests.server.ingress.bench import Bench, results_of_batch


def limited(*limits: str) -> Bench:
    return Bench(rate_limits=tuple(map(parse_rate_limit, limits)))


def told(session: Session) -> list[str]:
    return [frame.message.type for _, frame in session.after(0)]


@pytest.mark.parametrize(("rate", "wait"), [(10, 0.1), (3, 0.334)])  # a third: who comes sooner is early
async def test_a_burst_passes_and_the_rest_is_told_when_to_come_back(rate: int, wait: float) -> None:
    bench = limited(f"connection messages {rate} 3")
    session = bench.session()
    results = [bench.say(session, '{"type":"echo","id":"7"}') for _ in range(4)]
    assert [r["ok"] for r in results] == [True, True, True, False]
    assert told(session) == ["echo", "echo", "echo", "error"]
    error = results[3]["error"]
    assert (error["code"], error["retryAfter"], error["ref"]) == ("rate_limited", wait, "7")
    bench.now = wait
    assert bench.say(session)["ok"]


async def test_a_refusal_says_the_rate_with_all_its_digits() -> None:
    bench = limited("connection bytes 1048576 1048576")
    session = bench.session()
    said = '{"type":"echo","payload":"' + "x" * 700_000 + '"}'
    results = [bench.say(session, said) for _ in range(2)]
    assert "at most 1048576 bytes per second" in results[1]["error"]["message"]


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        ("connection", None, ("ada", "127.0.0.1")),
        ("user", ("ada", "127.0.0.2"), ("bob", "127.0.0.1")),
        ("address", ("bob", "127.0.0.1"), ("ada", "127.0.0.2")),
    ],
)
async def test_a_limit_is_shared_within_its_scope_only(
    scope: str, same: tuple[str, str] | None, other: tuple[str, str]
) -> None:
    bench = limited(f"{scope} messages 1 1")
    first = bench.session("ada", "127.0.0.1")
    assert bench.say(first)["ok"]
    assert not bench.say(first if same is None else bench.session(*same))["ok"]
    assert bench.say(bench.session(*other))["ok"]


async def test_a_room_has_a_limit_of_its_own_in_bytes_too() -> None:
    bench = limited("room bytes 10 200")
    session = bench.session(rooms=("a", "b"))
    chat = '{"type":"chat","roomId":"%s","payload":"' + "x" * 100 + '"}'
    assert [bench.say(session, chat % room)["ok"] for room in "aba"] == [True, True, False]


@given(st.lists(st.floats(0, 0.5), max_size=60))
def test_it_lets_in_what_the_policy_lets_in(pauses: list[float]) -> None:
    # The step does the sums of a message that is let in by itself, which spares it a call.
    now, rule = 0.0, TokenBucket(rate=10, burst=3)
    step = LimitRate(RateLimit("user", "messages", rule))
    incoming = SimpleNamespace(session=SimpleNamespace(user="ada"), now=now)
    bucket = rule.start(now)
    for pause in pauses:
        incoming.now = now = now + pause
        bucket, allowed = rule.take(bucket, now)
        try:
            step.check(cast("Any", incoming))
        except Refused:
            assert not allowed
        else:
            assert allowed


@pytest.mark.parametrize("limit", ["connection messages 1 5", "room messages 1 4"])
async def test_a_batch_is_no_way_around(limit: str) -> None:
    bench = limited(limit)
    session = bench.session(rooms=("r",))
    items = ",".join(['{"type":"chat","roomId":"r"}'] * 6)
    bench.say(session, f'{{"type":"batch","payload":[{items}]}}')
    assert [result["ok"] for result in results_of_batch(session)] == [True] * 3 + [False] * 3


async def test_bytes_over_the_limit_are_not_even_decoded() -> None:
    bench = limited("connection bytes 10 40")
    session = bench.session()
    assert bench.say(session)["ok"]
    result = bench.say(session, "{" * 30)
    assert result["error"]["code"] == "rate_limited"
    assert session.unreadable == 0
    assert "split it" in bench.say(session, "x" * 50)["error"]["message"]


async def test_who_goes_on_is_sent_away() -> None:
    bench = limited("connection messages 1 1")
    session = bench.session()
    for _ in range(201):
        bench.say(session)
    assert session.ended is not None
    assert (session.ended.close_code, session.ended.code) == (1008, "rate_limited")
    assert bench.say(session)["error"]["code"] == "rate_limited"


async def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_rate_limit, "MAX_KEYS", 10)
    bench = limited("address messages 1 1")
    for n in range(50):
        bench.now += 0.5
        bench.say(bench.session(address=str(n)))
    assert len(bench.node.rate_limits[0]._buckets) <= 10
