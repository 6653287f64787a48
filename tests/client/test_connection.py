"""A connection over a transport in memory: states, events, resume, and clean ends."""

from __future__ import annotations

import asyncio
from collections import Counter

import numpy as np
import pytest

from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.client.connection import Connection, State
from rtlab.errors import ConnectFailed, MessageError
from rtlab.policies.backoff import Constant
from rtlab.policies.circuit_breaker import Breaker
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, leftovers, names, room_server, said, until, welcome


async def test_a_life():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory)
    seen = names(conn)
    assert conn.state is State.DISCONNECTED
    async with conn:
        assert conn.state is State.CONNECTED
        assert conn.client_id == "me"
        await conn.send("chat", {"n": 1})
    assert conn.state is State.CLOSED
    assert seen == ["connected", "disconnected"]
    assert factory.made[0].closed_with == 1000
    assert factory.made[0].sent == [Message("chat", {"n": 1})]
    assert leftovers() == []


async def test_connect_again_after_close():
    factory = Factory(MemoryTransport(welcome=welcome()), MemoryTransport(welcome=welcome("s2")))
    conn = Connection(factory)
    await conn.connect()
    await conn.close()
    await conn.connect()
    assert conn.stats.connects == 2
    await conn.close()


async def test_a_failed_connect_says_why():
    cause = OSError("refused")
    error = ConnectFailed("nothing listens", status=503)
    error.__cause__ = cause
    conn = Connection(Factory(MemoryTransport(fail=error)))
    with pytest.raises(ConnectFailed, match="nothing listens") as caught:
        await conn.connect()
    assert caught.value.__cause__ is cause
    assert caught.value.status == 503
    assert conn.state is State.DISCONNECTED
    assert leftovers() == []


async def test_a_client_may_ignore_what_the_server_says_about_when_to_come_back():
    busy = MemoryTransport(fail=ConnectFailed("busy", status=503, retry_after=60.0))
    conn = Connection(
        Factory(busy, MemoryTransport(welcome=welcome())),
        backoff=Constant(0.001),
        retry_initial=True,
        max_retry_after=0.0,
    )
    async with asyncio.timeout(10), conn:
        assert conn.state is State.CONNECTED


async def test_a_broken_transport_does_not_leave_anyone_waiting():
    conn = Connection(Factory(MemoryTransport(fail=RuntimeError("bug"))))
    with pytest.raises(ConnectFailed, match="bug"):
        await conn.connect()
    assert conn.state is State.DISCONNECTED
    assert leftovers() == []


async def test_retries_are_made_and_counted():
    down = [MemoryTransport(fail=ConnectFailed("down")) for _ in range(3)]
    conn = Connection(
        Factory(MemoryTransport(welcome=welcome()), *down), backoff=FAST, max_reconnect_attempts=3
    )
    seen = names(conn)
    await conn.connect()
    conn._runner.transport.drop()
    await until(lambda: conn.state is State.DISCONNECTED)
    # min_uptime 0: the loss itself counts from zero, three retries follow it.
    assert seen == ["connected", "disconnected", *["reconnecting"] * 3, "error"]
    assert conn.stats.attempts == 4
    assert leftovers() == []


@pytest.mark.parametrize(
    ("code", "again"), [(1006, True), (1012, True), (1008, False), (1000, False), (4500, False)]
)
async def test_the_close_code_decides(code, again):
    factory = Factory(MemoryTransport(welcome=welcome()), MemoryTransport(welcome=welcome("s2")))
    conn = Connection(factory, backoff=FAST)
    told = []
    conn.on("disconnected", told.append)
    await conn.connect()
    factory.made[0].drop(code, "why", clean=True)
    await until(lambda: told)
    assert (told[0].code, told[0].reason, told[0].clean, told[0].will_reconnect) == (code, "why", True, again)
    await until(lambda: conn.state is (State.CONNECTED if again else State.DISCONNECTED))
    await conn.close()


async def test_reconnect_now_skips_the_delay():
    factory = Factory(MemoryTransport(welcome=welcome()), MemoryTransport(welcome=welcome()))
    conn = Connection(factory, backoff=Constant(seconds=60.0))
    await conn.connect()
    factory.made[0].drop()
    await until(lambda: conn.state is State.RECONNECTING)
    conn.reconnect_now()
    await until(lambda: conn.state is State.CONNECTED)
    await conn.close()


async def test_close_while_waiting_ends_the_wait():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory, backoff=Constant(seconds=60.0))
    await conn.connect()
    factory.made[0].drop()
    await until(lambda: conn.state is State.RECONNECTING)
    waiting = asyncio.create_task(conn.connect())
    await asyncio.sleep(0)
    await conn.close()
    with pytest.raises(ConnectFailed, match="closed by its owner"):
        await waiting
    assert leftovers() == []


async def test_handlers_run_in_order_and_one_that_raises_is_an_event():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory)
    seen, errors = [], []
    conn.on("n", lambda m: 1 / m.payload)
    conn.on("n", lambda m: seen.append(m.payload))
    conn.on("error", errors.append)
    async with conn:
        for n in (1, 0, 2):
            factory.made[0].push(Message("n", n))
        await until(lambda: len(seen) == 3)
    assert seen == [1, 0, 2]
    assert [type(e.error) for e in errors] == [ZeroDivisionError]
    assert errors[0].source == "handler"


async def test_the_wire_cannot_forge_events():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory)
    seen = names(conn)
    every = []
    conn.on("*", every.append)
    async with conn:
        for name in ("disconnected", "resync", "connected"):
            factory.made[0].push(Message(name, {}))
        factory.made[0].push(Message("error", {"message": "no", "code": "c"}))
        await until(lambda: len(every) == 4)
        assert seen == ["connected", "error"]


async def test_once_and_off():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory)
    seen = Counter()

    def count(m):
        seen["on"] += 1

    conn.on("n", count)
    conn.once("n", lambda m: seen.update(["once"]))
    conn.once("last", lambda m: conn.off("n", count))
    async with conn:
        for kind in ("n", "n", "last", "n", "end"):
            factory.made[0].push(Message(kind))
        await until(lambda: conn.stats.messages_in == 5)
    assert seen == {"on": 2, "once": 1}


async def test_a_frame_that_cannot_be_read_is_kept_and_the_stream_goes_on():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory)
    errors, seen = [], []
    conn.on("error", errors.append)
    conn.on("n", seen.append)
    async with conn:
        factory.made[0].push(MessageError("not JSON"))
        factory.made[0].push(Message("n"))
        await until(lambda: seen)
    assert [e.source for e in errors] == ["codec"]
    assert conn.stats.dead_letters == 1


# Health


async def test_attempts_that_a_breaker_holds_back_do_not_use_up_the_retries():
    now = 0.0
    breaker = CircuitBreaker(Breaker(failures=1, open_duration=0.001), clock=lambda: now)
    factory = Factory(MemoryTransport(welcome=welcome()), MemoryTransport(welcome=welcome("s2")))
    conn = Connection(factory, backoff=FAST, breaker=breaker, max_reconnect_attempts=2)
    seen = []
    conn.on("reconnecting", seen.append)
    await conn.connect()
    breaker.record_failure()  # another connection's
    factory.made[0].drop()
    await until(lambda: len(seen) == 6)
    assert {event.reason for event in seen[1:]} == {"the circuit breaker is open for another 0.0 s"}
    assert (conn.state, conn.stats.attempts) == (State.RECONNECTING, 1)
    now = 1.0
    assert breaker.allow()  # another connection probes
    await until(lambda: "half-open" in seen[-1].reason)
    breaker.record_success()
    await until(lambda: conn.state is State.CONNECTED)
    assert conn.stats.attempts == 2
    await conn.close()


async def test_retries_that_fail_are_counted_among_those_that_are_held_back():
    breaker = CircuitBreaker(Breaker(failures=1, open_duration=0.001))
    down = [MemoryTransport(fail=ConnectFailed("down")) for _ in range(3)]
    factory = Factory(MemoryTransport(welcome=welcome()), *down)
    conn = Connection(factory, backoff=FAST, breaker=breaker, max_reconnect_attempts=3, min_uptime=60)
    errors = []
    conn.on("error", errors.append)
    await conn.connect()
    factory.made[0].drop()
    await until(lambda: conn.state is State.DISCONNECTED)
    assert factory.queue == []
    assert conn.stats.attempts == 4
    assert [error.code for error in errors] == ["gave_up"]


async def test_connections_that_share_a_breaker_do_not_ask_it_in_step():
    """One probes when the time has come; the rest must not wait for a second period."""
    breaker = CircuitBreaker(Breaker(failures=1, open_duration=100.0), clock=lambda: 0.0)
    breaker.record_failure()
    conns = [
        Connection(Factory(), breaker=breaker, retry_initial=True, rng=np.random.default_rng([1, n]))
        for n in range(50)
    ]
    delays = []
    for conn in conns:
        conn.on("reconnecting", lambda event: delays.append(event.delay))
    tasks = [asyncio.create_task(conn.connect()) for conn in conns]
    await until(lambda: len(delays) == 50)
    assert min(delays) >= 100
    assert np.ptp(delays) > 25
    for conn in conns:
        await conn.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert leftovers() == []


# Resuming


async def test_the_position_moves_after_handlers_and_when_the_iterator_asks():
    transport = MemoryTransport(welcome=welcome(seq=10))
    conn = Connection(Factory(transport))
    position = conn._dispatch.position
    at_handler = []
    conn.on("n", lambda m: at_handler.append(position.handled))
    await conn.connect()
    transport.push(Message("n", 1))
    await until(lambda: at_handler)
    await until(lambda: position.handled == 11)
    assert at_handler == [10]
    stream = aiter(conn)
    transport.push(Message("n", 2))
    await anext(stream)
    assert position.handled == 11
    task = asyncio.create_task(anext(stream))
    await until(lambda: position.handled == 12)
    task.cancel()
    await conn.close()


async def test_a_resumed_session_continues_after_what_was_handled():
    first = MemoryTransport(welcome=welcome(seq=5))
    second = MemoryTransport(welcome=welcome(seq=7, resumed=True))
    conn = Connection(Factory(first, second), backoff=FAST)
    told, seen = [], []
    conn.on("connected", told.append)
    conn.on("n", lambda m: seen.append(m.payload))
    await conn.connect()
    first.push(Message("n", 1))
    first.push(Message("n", 2))
    first.drop()
    await until(lambda: len(told) == 2)
    assert (second.resume.session, second.resume.seq, second.resume.client_id) == ("s1", 7, "me")
    assert [t.resumed for t in told] == [False, True]
    second.push(Message("n", 3))
    await until(lambda: seen == [1, 2, 3])
    await conn.close()


async def test_what_waits_in_an_open_iterator_is_not_delivered_twice():
    first = MemoryTransport(welcome=welcome())
    second = MemoryTransport(welcome=welcome(seq=1, resumed=True))
    conn = Connection(Factory(first, second), backoff=FAST)
    await conn.connect()
    stream = aiter(conn)
    for n in (1, 2, 3):
        first.push(Message("n", n))
    assert (await anext(stream)).payload == 1
    got = asyncio.create_task(anext(stream))
    assert (await got).payload == 2
    await until(lambda: conn._dispatch.position.received == 3)
    first.drop()
    await until(lambda: conn.stats.connects == 2)
    assert second.resume.seq == 1
    for n in (2, 3, 4):  # the server replays what was not handled, and goes on
        second.push(Message("n", n))
    assert [(await anext(stream)).payload for _ in range(2)] == [3, 4]
    await conn.close()


async def test_a_lost_session_is_reported():
    first = MemoryTransport(welcome=welcome())
    second = MemoryTransport(welcome=welcome("s2"))
    conn = Connection(Factory(first, second), backoff=FAST)
    lost = []
    conn.on("resync", lost.append)
    await conn.connect()
    first.drop()
    await until(lambda: conn.stats.connects == 2)
    assert [(e.room_id, "expired" in e.reason) for e in lost] == [(None, True)]
    await conn.close()


# Rooms


async def test_rooms_are_followed_repeats_dropped_and_gaps_told():
    transport = room_server(lambda p: {"recovered": True, "epoch": "e1", "offset": 4}, welcome=welcome())
    conn = Connection(Factory(transport))
    seen, gaps = [], []
    conn.on("chat", lambda m: seen.append(m.payload))
    conn.on("resync", lambda e: gaps.append((e.room_id, e.offset)))
    async with conn:
        await conn.join_room("r")
        for offset in (5, 5, 6, 9, 10):
            transport.push(said(offset))
        transport.push(said(1, epoch="e2"))
        await until(lambda: len(seen) == 5)
        assert conn.stats.repeats == 1
    assert seen == [5, 6, 9, 10, 1]
    assert gaps == [("r", 9), ("r", 1)]


@pytest.mark.parametrize("recovered", [True, False])
async def test_rooms_are_joined_again_from_their_offset(recovered):
    asked = []

    def second_answer(payload):
        asked.append(payload)
        return {"recovered": recovered, "epoch": "e1", "offset": 9}

    first = room_server(lambda p: {"recovered": True, "epoch": "e1", "offset": 4}, welcome=welcome())
    second = room_server(second_answer, welcome=welcome("s2"))
    conn = Connection(Factory(first, second), backoff=FAST)
    seen, told = [], []
    conn.on("chat", lambda m: seen.append(m.payload))
    conn.on("resync", lambda e: told.append((e.room_id, e.offset)))
    await conn.connect()
    await conn.join_room("r")
    first.push(said(5))
    await until(lambda: seen)
    first.drop()
    await until(lambda: asked)
    assert asked == [{"roomId": "r", "epoch": "e1", "offset": 5}]
    for offset in (6, 7, 8, 9) if recovered else ():
        second.push(said(offset))
    second.push(said(10))
    await until(lambda: 10 in seen)
    # The session's own loss is always told; the room's only when it was not recovered.
    assert told == [(None, None)] if recovered else [(None, None), ("r", 9)]
    assert seen == ([5, 6, 7, 8, 9, 10] if recovered else [5, 10])
    await conn.close()


@pytest.mark.parametrize(
    "options",
    [
        {"connect_timeout": 0},
        {"close_timeout": float("nan")},
        {"request_timeout": float("inf")},
        {"max_reconnect_attempts": -1},
        {"reconnect_interval": 1.0, "backoff": FAST},
        {"reconnect_interval": -1.0},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        Connection(Factory(), **options)
