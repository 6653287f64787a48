"""Throttle: waits in order, as long as its buckets say. The loop's time is made here."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from rtlab.client import send_throttle as module
from rtlab.client.send_throttle import Throttle
from rtlab.policies.token_bucket import TokenBucket
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module.asyncio, "sleep", clock.sleep)
    return clock


async def test_messages_and_bytes_are_both_kept_below_their_rates(clock: Clock) -> None:
    size = len(b'{"type":"chat","payload":null}')
    throttle = Throttle(TokenBucket(10, 2), TokenBucket(2.0 * size, 3.0 * size), clock=clock)
    times = []
    for _ in range(5):
        await throttle.admit(Message("chat"))
        times.append(clock.now)
    # Two at once; the third costs a tenth of a second; then the bytes are dearer.
    assert times == pytest.approx([0, 0, 0.1, 0.5, 1.0], abs=1e-3)
    assert throttle.waited == pytest.approx(1.0, abs=1e-3)


async def test_who_asks_first_goes_first(clock: Clock) -> None:
    throttle, order = Throttle(TokenBucket(1, 1), clock=clock), []

    async def send(n: int) -> None:
        await throttle.admit(Message("chat", n))
        order.append(n)

    await asyncio.gather(*(send(n) for n in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_a_message_that_can_never_pass_is_refused(clock: Clock) -> None:
    with pytest.raises(ValueError, match="split it"):
        await Throttle(bytes=TokenBucket(10, 10), clock=clock).admit(Message("chat", "x" * 100))


async def test_a_batch_costs_what_the_server_counts_for_it(clock: Clock) -> None:
    size = len(JSON.encode(Message("batch", [{"type": "chat"}] * 3)))
    throttle = Throttle(TokenBucket(10, 5), TokenBucket(1e6, float(size)), clock=clock)
    await throttle.admit(Message("batch", [{"type": "chat"}] * 3))
    assert clock.now == pytest.approx(0)  # four of five
    await throttle.admit(Message("batch", [{"type": "chat"}] * 3))
    assert clock.now == pytest.approx(0.3)


async def test_a_batch_larger_than_the_burst_waits_until_the_rate_allows_all_of_it(clock: Clock) -> None:
    throttle = Throttle(TokenBucket(10, 5), clock=clock)
    await throttle.admit(Message("batch", [{"type": "chat"}] * 24))
    assert clock.now == pytest.approx(2.0)


def test_a_second_run_is_kept_below_the_rate_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the first ended while messages waited, one of them with the turn."""
    clock = Clock()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        clock.now += seconds

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(Lock=asyncio.Lock, sleep=sleep))
    throttle = Throttle(messages=TokenBucket(rate=200.0, burst=1.0), clock=clock)

    async def run(*, to_the_end: bool) -> None:
        sends = [asyncio.create_task(throttle.admit(Message("n"))) for _ in range(4)]
        await asyncio.sleep(0)
        if to_the_end:
            await asyncio.gather(*sends)

    waited = [0.0]
    for to_the_end in (True, False, True):
        asyncio.run(run(to_the_end=to_the_end))
        waited.append(throttle.waited)
    # At 200/s, each message waits for 5 ms; the first of all finds a token in the bucket.
    assert waited[1] == pytest.approx(3 * 0.005)
    assert waited[3] - waited[2] == pytest.approx(4 * 0.005)


def test_a_loop_that_ends_while_a_message_has_the_turn_does_not_keep_it() -> None:
    throttle = Throttle(messages=TokenBucket(rate=0.001, burst=1.0))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(throttle.admit(Message("n")))
    waiting = loop.create_task(throttle.admit(Message("n")))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    throttle._buckets = []  # from now on, no message has to wait for its own sake

    async def another() -> None:
        async with asyncio.timeout(10):
            await throttle.admit(Message("n"))

    asyncio.run(another())
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]
    waiting.get_coro().close()  # type: ignore[union-attr]
