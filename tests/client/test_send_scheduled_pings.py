"""Heartbeats on an open transport: what counts as silence, and what pings leave behind."""

from __future__ import annotations

import asyncio
import functools
import gc
import time

import pytest

from rtlab.client.client_factory_by_transport import TRANSPORTS, make_client
from rtlab.client.connection import Connection, State
from rtlab.lab.lab import Lab
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping, Pong, Tick, Watchdog
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, leftovers, turns, until, welcome


class Unread(MemoryTransport):
    """As over a socket: nothing is heard, pongs neither, while nobody reads."""

    def __init__(self, **options):
        super().__init__(**options)
        self.reading = asyncio.Event()

    async def receive(self, take=None):
        self.reading.set()
        try:
            return await super().receive(take)
        finally:
            self.reading.clear()

    async def ping(self):
        await self.reading.wait()
        return 0.0


async def stalls(heartbeat):
    transport = Unread(welcome=welcome())
    conn = Connection(Factory(transport), max_queue=1, max_reconnect_attempts=0, heartbeat=heartbeat)
    ended = []
    conn.on("disconnected", ended.append)
    await conn.connect()
    stream = aiter(conn)
    transport.push(Message("n", 1))
    await until(lambda: conn.stats.queue_depth == 1)
    await asyncio.sleep(0.1)  # several times what the heartbeat allows
    assert ended == []
    assert (await anext(stream)).payload == 1
    return transport, conn, stream, ended


async def test_a_slow_iterator_is_not_taken_for_a_dead_peer():
    transport, conn, stream, ended = await stalls(Ping(interval=0.01, timeout=0.02))
    pings = conn._runner.opened._beats._beat.number
    await until(lambda: conn._runner.opened._beats._beat.number > pings + 2)
    assert ended == []
    transport.deaf = True
    transport.reading = asyncio.Event()  # no ping is answered any more
    await until(lambda: conn.state is State.DISCONNECTED)
    assert "not answered" in ended[0].reason
    del stream


async def test_a_watchdog_waits_while_nobody_reads():
    _, conn, stream, ended = await stalls(Watchdog(0.01, grace=0.02))
    await until(lambda: conn.state is State.DISCONNECTED)  # from now on, silence counts
    assert "nothing came" in ended[0].reason
    del stream


async def test_an_answer_that_lay_unread_while_the_loop_was_blocked_counts():
    """The answer is there in time, but takes the loop a few turns to deliver, as over a socket."""

    class Blocked(MemoryTransport):
        pings = 0

        async def ping(self):
            self.pings += 1
            loop = asyncio.get_running_loop()
            answer = loop.create_future()
            loop.call_later(0.02, answer.set_result, None)
            if self.pings == 1:
                loop.call_soon(time.sleep, 0.15)
            await answer
            await turns(3)
            return 0.0

    transport = Blocked(welcome=welcome())
    conn = Connection(Factory(transport), max_reconnect_attempts=0, heartbeat=Ping(0.2, timeout=0.1))
    ended = []
    conn.on("disconnected", ended.append)
    await conn.connect()
    await until(lambda: transport.pings == 2 or ended, timeout=10)
    assert ended == []
    await conn.close()


async def test_a_ping_that_breaks_is_reported_and_left_to_the_policy():
    class Broken(MemoryTransport):
        async def ping(self):
            raise OSError("no route")

    unread = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unread.append(context))
    transport = Broken(welcome=welcome())
    conn = Connection(Factory(transport), max_reconnect_attempts=0, heartbeat=Ping(0.01, timeout=0.02))
    errors, ended = [], []
    conn.on("disconnected", ended.append)
    conn.on("error", errors.append)
    await conn.connect()
    await until(lambda: ended)
    assert "not answered" in ended[0].reason
    gc.collect()
    assert unread == []


@pytest.mark.parametrize("stalled", [False, True])
async def test_a_connection_that_closes_is_not_pinged(stalled):
    class Closing(MemoryTransport):
        pings = 0

        async def ping(self):
            self.pings += 1
            return 0.0

        async def close(self, code=1000, reason=""):
            self.pings = 0
            await asyncio.sleep(0.05)

    transport = Closing(welcome=welcome())
    conn = Connection(Factory(transport), max_queue=1, heartbeat=Ping(0.001, timeout=1.0))
    await conn.connect()
    await until(lambda: transport.pings > 1)
    stream = aiter(conn)
    if stalled:
        transport.push(Message("n"))
        await until(lambda: conn.stats.queue_depth)
    await conn.close()
    assert transport.pings == 0
    del stream


async def test_close_waits_for_pings_under_way():
    class Lingering(MemoryTransport):
        async def ping(self):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.01)

    conn = Connection(Factory(Lingering(welcome=welcome())), heartbeat=Ping(0.01, timeout=5.0))
    await conn.connect()
    await until(lambda: conn._runner.opened._beats._tasks.running)
    await conn.close()
    assert leftovers() == []


async def test_a_lost_connections_pings_are_gone_before_the_next_begins():
    class Deaf(MemoryTransport):
        async def ping(self):
            await asyncio.Event().wait()

    factory = Factory(Deaf(welcome=welcome()), MemoryTransport(welcome=welcome("s2")))
    conn = Connection(factory, backoff=FAST, heartbeat=Ping(0.005, timeout=0.02))
    await conn.connect()
    await until(lambda: conn.stats.connects == 2)
    assert len(leftovers()) <= 2  # the reader, and perhaps one ping
    await conn.close()
    assert leftovers() == []


@pytest.mark.parametrize("at", [Tick, Pong])
@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_policy_that_raises_ends_the_connection_rather_than_the_watch(error, at):
    class Broken(Ping, frozen=True):
        def step(self, state, event, now):
            if isinstance(event, at):
                raise error
            return super().step(state, event, now)

    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory, max_reconnect_attempts=0, heartbeat=Broken(0.01, timeout=1.0))
    ends = []
    conn.on("disconnected", lambda event: ends.append(event.reason))
    await conn.connect()
    await until(lambda: ends)
    assert error.__name__ in ends[0]
    await conn.close()


def test_an_interrupt_in_a_policy_is_raised_once_and_not_logged_again():
    class Interrupted(Ping, frozen=True):
        def step(self, state, event, now):
            if isinstance(event, Pong):
                raise KeyboardInterrupt
            return super().step(state, event, now)

    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory, max_reconnect_attempts=0, heartbeat=Interrupted(0.01, timeout=1.0))
    unread = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: unread.append(context))

    async def live():
        await conn.connect()
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(live())
    loop.run_until_complete(conn.close())
    loop.close()
    gc.collect()
    assert unread == []


async def test_a_killed_server_is_noticed_on_every_transport_without_any_option():
    """Where TCP resets, at once; a data channel only hears nothing more, and needs its heartbeat."""
    async with asyncio.timeout(60), Lab() as lab:
        conns = {name: make_client(name, lab.url) for name in TRANSPORTS}
        ends, noticed = {}, asyncio.Event()

        def end(name, event):
            ends[name] = event
            if len(ends) == len(TRANSPORTS):
                noticed.set()

        for name, conn in conns.items():
            conn.on("disconnected", functools.partial(end, name))
            await conn.connect()
        killed = time.monotonic()
        lab.kill()
        await noticed.wait()
        for name, event in ends.items():
            assert event.code == 1006, name
            assert event.at - killed < 15, name  # 10 s by Ping(5, 5), and a busy machine
            assert conns[name].state is State.DISCONNECTED, name
        assert "heartbeat" in ends["webrtc"].reason
        for conn in conns.values():
            await conn.close()
