"""Falling back, in memory: what counts as working, what is remembered, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.patterns.transport_blocklist import Blocklist
from rtlab.patterns.transport_fallback import Fallback
from rtlab.policies.circuit_breaker import Breaker
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.testing.in_memory.memory_transport import MemoryTransport

WELCOME = Message("welcome", {})


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def ladder(blocklist, made, trials, breakers=None, deadline=0.05, **makers):
    def maker(name, make):
        def build():
            transport = make()
            made.append((name, transport))
            return transport

        return build

    candidates = {name: maker(name, make) for name, make in makers.items()}
    return Fallback("here", candidates, blocklist, deadline=deadline, breakers=breakers or {}, trials=trials)


def works():
    return MemoryTransport(welcome=WELCOME)


def refuses(reason="no", **options):
    return lambda: MemoryTransport(fail=ConnectFailed(reason, **options))


def hangs():
    return MemoryTransport(gate=asyncio.Event())


async def test_the_first_that_works_is_taken(clock):
    made, trials = [], []
    transport = ladder(Blocklist(clock=clock), made, trials, a=works, b=works)
    assert await transport.open(Resume()) == WELCOME
    assert [name for name, _ in made] == ["a"]
    assert transport.name == "a"


async def test_one_that_refuses_and_one_that_hangs_are_passed_and_ended(clock):
    made, trials = [], []
    transport = ladder(Blocklist(clock=clock), made, trials, a=refuses("426"), b=hangs, c=works)
    await transport.open(Resume())
    assert [(a.candidate, a.outcome) for a in trials] == [
        ("a", "refused"),
        ("b", "refused"),
        ("c", "works"),
    ]
    assert trials[0].reason == "426"
    assert "no first message within 0.05 s" in trials[1].reason
    assert [t.aborted for _, t in made] == [True, True, False]


async def test_what_did_not_work_is_remembered_then_tried_again(clock):
    blocklist = Blocklist(reprobe_after=60.0, clock=clock)
    made, trials = [], []
    for _ in range(2):
        await ladder(blocklist, made, trials, a=refuses(), b=works).open(Resume())
    assert [name for name, _ in made] == ["a", "b", "b"]
    assert trials[-2].outcome == "skipped"
    clock.now = 60.0
    await ladder(blocklist, made, trials, a=works, b=works).open(Resume())
    assert made[-1][0] == "a"


async def test_a_server_that_is_down_teaches_nothing(clock):
    blocklist = Blocklist(clock=clock)
    made, trials = [], []
    with pytest.raises(ConnectFailed, match=r"no transport works\. a: down; b: down") as caught:
        await ladder(blocklist, made, trials, a=refuses("down"), b=refuses("down")).open(Resume())
    assert caught.value.retryable
    await ladder(blocklist, made, trials, a=works, b=works).open(Resume())
    assert made[-1][0] == "a"


async def test_all_refused_for_good_is_not_retryable(clock):
    no = refuses("401", retryable=False)
    with pytest.raises(ConnectFailed) as caught:
        await ladder(Blocklist(clock=clock), [], [], a=no, b=no).open(Resume())
    assert not caught.value.retryable


async def test_a_server_that_says_when_to_come_back_is_believed(clock):
    busy = refuses("503", retry_after=7.0)
    with pytest.raises(ConnectFailed) as caught:
        await ladder(Blocklist(clock=clock), [], [], a=busy, b=refuses("503", retry_after=9.0)).open(Resume())
    assert caught.value.retry_after == 9.0
    blocklist = Blocklist(reprobe_after=60.0, clock=clock)
    await ladder(blocklist, [], [], a=busy, b=works).open(Resume())
    assert blocklist.blocked("here", "a") == "503"
    clock.now = 7.0
    assert blocklist.blocked("here", "a") == ""
    blocklist.block("here", "a", "503", 1e9)
    clock.now = 67.0
    assert blocklist.blocked("here", "a") == ""


async def test_without_a_hint_the_clients_own_backoff_decides(clock):
    with pytest.raises(ConnectFailed) as caught:
        await ladder(Blocklist(clock=clock), [], [], a=refuses("503")).open(Resume())
    assert caught.value.retry_after is None


async def test_short_lives_move_on_to_the_next(clock):
    """A proxy that cuts idle connections: it opens well each time, and never lasts."""
    blocklist = Blocklist(short_life=5.0, max_short_lives=3, clock=clock)
    used = []
    for _ in range(4):
        transport = ladder(blocklist, [], [], a=works, b=works)
        await transport.open(Resume())
        used.append(transport.name)
        clock.now += 2.0
        transport.active.drop()
        with pytest.raises(TransportClosed):
            await transport.receive()
    assert used == ["a", "a", "a", "b"]


async def test_an_open_breaker_moves_on(clock):
    breaker = CircuitBreaker(Breaker(failures=1), clock=clock)
    breaker.record_failure()
    trials = []
    transport = ladder(Blocklist(clock=clock), [], trials, {"a": breaker}, a=works, b=works)
    await transport.open(Resume())
    assert transport.name == "b"
    assert trials[0].reason == "its circuit breaker is open"


async def test_when_every_breaker_is_open_no_attempt_was_made(clock):
    breakers = {}
    for name, seconds in (("a", 30.0), ("b", 10.0)):
        breakers[name] = CircuitBreaker(Breaker(failures=1, open_duration=seconds), clock=clock)
        breakers[name].record_failure()
    made = []
    with pytest.raises(ConnectFailed, match="b: its circuit breaker is open") as caught:
        await ladder(Blocklist(clock=clock), made, [], breakers, a=works, b=works).open(Resume())
    error = caught.value
    assert (made, error.attempts, error.retryable, error.retry_after) == ([], 0, True, 10.0)


async def test_cancelling_ends_the_candidate_that_was_being_tried(clock):
    made = []
    transport = ladder(Blocklist(clock=clock), made, [], deadline=10.0, a=hangs)
    task = asyncio.create_task(transport.open(Resume()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made[0][1].aborted


async def test_what_is_remembered_is_tried_after_all_before_giving_up(clock):
    blocklist = Blocklist(clock=clock)
    blocklist.block("here", "a", "a proxy of another network")
    made, trials = [], []
    transport = ladder(blocklist, made, trials, a=works, b=refuses("buffered"), c=refuses("down"))
    assert await transport.open(Resume()) == WELCOME
    assert [name for name, _ in made] == ["b", "c", "a"]
    assert [a.outcome for a in trials] == ["skipped", "refused", "refused", "works"]


async def test_a_first_message_that_cannot_be_read_moves_on(clock):
    def garbles():
        return MemoryTransport(fail=MessageError("not JSON"))

    transport = ladder(Blocklist(clock=clock), [], [], a=garbles, b=works)
    await transport.open(Resume())
    assert transport.name == "b"
