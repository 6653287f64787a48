from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.protocol.message_format import Message
from rtlab.server.sessions.fixed_schedule_feed import Feed, FeedPlan, parse_plan


@pytest.mark.parametrize(
    "payload",
    [
        None, [], "fast", {}, {"rate": 0}, {"rate": -1}, {"rate": 20_001}, {"rate": 1e308}, {"rate": 10**400},
        {"rate": float("nan")}, {"rate": float("inf")}, {"rate": True}, {"rate": "9"}, {"rate": None},
        {"rate": 1, "size": -1}, {"rate": 1, "size": 65_537}, {"rate": 1, "size": 1.5},
        {"rate": 1, "count": 0}, {"rate": 1, "count": 1_000_001}, {"rate": 1, "count": True},
        {"rate": 1, "count": 10**400}, {"rate": 1, "seed": "x"}, {"rate": 1, "process": "burst"},
        {"rate": 1, "process": ["fixed"]},
    ],
)  # fmt: skip
def test_absurd_plans_are_refused_with_a_reason(payload: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_plan(payload)


@given(
    st.recursive(st.none() | st.floats() | st.integers() | st.text(), lambda s: st.dictionaries(st.text(), s))
)
def test_no_payload_breaks_the_reader(payload: object) -> None:
    with contextlib.suppress(ValueError):
        parse_plan(payload)


def test_fixed_times_do_not_drift() -> None:
    times = list(FeedPlan(rate=3, count=30_001).times())
    assert times[0] == 0
    assert times[-1] == 10_000


def test_poisson_times_come_from_the_seed_and_have_the_rate() -> None:
    plan = FeedPlan(rate=50, count=4000, seed=7, process="poisson")
    times = list(plan.times())
    assert times == list(plan.times())
    gaps = [b - a for a, b in itertools.pairwise(times)]
    # Exponential: mean and deviation are 1/rate; 4,000 samples, 5 standard errors.
    assert statistics.fmean(gaps) == pytest.approx(0.02, abs=5 * 0.02 / 4000**0.5)
    assert statistics.stdev(gaps) == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("size", [0, 100, 65_536])
def test_the_payload_has_the_size_that_was_asked_for(size: int) -> None:
    feed = Feed("f1", FeedPlan(rate=1, size=size, count=20), print, time.monotonic, print)
    for n in (0, 9, 10, 19):
        message = feed.message(n, 1.5)
        assert message.ts == 1.5
        assert len(msgspec.json.encode(message.payload)) == max(
            size, len(f'{{"feed":"f1","n":{n},"pad":""}}') + 12 * (n == 19)
        )
    assert "last" not in feed.message(18, 0).payload
    assert feed.message(19, 0).payload["last"] is True


async def test_a_feed_sends_everything_in_order_never_early_and_ends() -> None:
    got: list[Message] = []
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    Feed("f1", FeedPlan(rate=2000, count=100), got.append, time.monotonic, ended.set_result).start()
    assert await asyncio.wait_for(ended, 5) == "f1"
    assert [m.payload["n"] for m in got] == list(range(100))
    assert all(m.sent is not None and m.ts is not None and m.sent >= m.ts for m in got)
    first = got[0].ts
    assert first is not None
    for n, message in enumerate(got):
        assert message.ts == pytest.approx(first + n / 2000, abs=1e-9)


async def test_a_late_feed_catches_up_and_skips_nothing() -> None:
    # The clock jumps by a second after the tenth message, as after a stall.
    now = [0.0]
    got: list[Message] = []

    def send(message: Message) -> None:
        got.append(message)
        now[0] += 1.0 if len(got) == 10 else 0.001

    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    Feed("f1", FeedPlan(rate=1000, count=500), send, lambda: now[0], ended.set_result).start()
    await asyncio.wait_for(ended, 5)
    assert [m.payload["n"] for m in got] == list(range(500))
    assert [round(1000 * (m.ts or 0)) for m in got] == list(range(500))
    late = [(m.sent or 0) - (m.ts or 0) for m in got]
    assert max(late[:10]) < 0.01
    assert late[10] == pytest.approx(1.0, abs=0.01)


async def test_a_stopped_feed_sends_nothing_more() -> None:
    got: list[Message] = []
    feed = Feed("f1", FeedPlan(rate=1000, count=100_000), got.append, time.monotonic, print)
    feed.start()
    await asyncio.sleep(0.02)
    feed.stop()
    await asyncio.sleep(0)
    count = len(got)
    assert 0 < count < 100_000
    await asyncio.sleep(0.02)
    assert len(got) == count


async def test_a_feed_waits_while_nobody_takes_its_messages_and_sends_what_was_due() -> None:
    sent: list[Message] = []
    ended = asyncio.Event()
    waits: list[asyncio.Future[None]] = []
    held = True

    def held_up() -> asyncio.Future[None] | None:
        if not held:
            return None
        waits.append(asyncio.get_running_loop().create_future())
        return waits[-1]

    feed = Feed(
        "f1",
        FeedPlan(rate=1000, count=20),
        sent.append,
        time.monotonic,
        lambda _: ended.set(),
        held_up=held_up,
    )
    gone = asyncio.Event()
    begin = time.monotonic()
    feed.start(gone.set)
    await asyncio.sleep(0.05)
    assert (sent, len(waits)) == ([], 1)
    held = False
    waits[0].set_result(None)
    await asyncio.wait_for(asyncio.gather(ended.wait(), gone.wait()), 5)
    # Late, all of them, and none left out: each says when it was due.
    assert [round((message.ts or 0) - (sent[0].ts or 0), 3) for message in sent] == [
        n / 1000 for n in range(20)
    ]
    assert all((message.sent or 0) >= begin + 0.05 for message in sent)
