"""Iterators over the messages of a connection: their order, their ends, and their limits."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rtlab.client.connection import Connection
from rtlab.errors import ConnectFailed, ConnectionLost
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, turns, until, welcome


async def test_an_iterator_yields_in_order_and_ends_on_close():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    await conn.connect()
    for n in range(3):
        transport.push(Message("n", n))
    got = []
    async for message in conn:
        got.append(message.payload)
        if len(got) == 3:
            await conn.close()
    assert got == [0, 1, 2]


async def test_an_iterator_raises_when_the_connection_is_lost_for_good():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    await conn.connect()
    stream = aiter(conn)
    transport.push(Message("n", 1))
    transport.drop(1008, "banned")
    assert (await anext(stream)).payload == 1
    with pytest.raises(ConnectionLost, match="banned"):
        await anext(stream)


async def test_a_full_iterator_stops_reading_and_an_abandoned_one_does_not():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport), max_queue=2)
    seen = []
    conn.on("n", seen.append)
    await conn.connect()
    stream = aiter(conn)
    for n in range(10):
        transport.push(Message("n", n))
    await until(lambda: len(seen) == 2)
    await turns()
    assert len(seen) == 2
    assert conn.stats.queue_depth == 2
    del stream
    gc.collect()
    await until(lambda: len(seen) == 10)
    await conn.close()


async def test_an_iterator_that_is_replaced_lets_the_reader_go():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport), max_queue=1)
    await conn.connect()
    former = aiter(conn)
    for n in (1, 2, 3):
        transport.push(Message("n", n))
    await turns()
    stream = aiter(conn)
    async with asyncio.timeout(10):
        assert [m.payload async for m in former] == [1]
        assert [(await anext(stream)).payload for _ in range(2)] == [2, 3]
    await conn.close()


async def test_a_replaced_iterator_does_not_move_the_position_backwards():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    await conn.connect()
    former = aiter(conn)
    transport.push(Message("n", 1))
    await turns()
    stream = aiter(conn)
    transport.push(Message("n", 2))
    transport.push(Message("n", 3))
    assert [(await anext(stream)).payload for _ in range(2)] == [2, 3]
    assert [m.payload async for m in former] == [1]
    assert conn._dispatch.position.handled == 2
    await conn.close()


async def test_everyone_who_waits_on_one_iterator_hears_of_its_end():
    conn = Connection(Factory(MemoryTransport(welcome=welcome())))
    await conn.connect()
    stream = aiter(conn)
    waiting = [asyncio.create_task(anext(stream, "end")) for _ in range(3)]
    await turns()
    await conn.close()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == ["end"] * 3


async def test_an_iterator_that_comes_too_late_does_not_wait_for_ever():
    factory = Factory(*(MemoryTransport(welcome=welcome(f"s{n}")) for n in (1, 2)))
    conn = Connection(factory)
    await conn.connect()
    factory.made[0].drop(1008, "banned")
    await until(lambda: conn.stats.disconnects == 1)
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionLost, match="banned"):
            await anext(aiter(conn))
        await conn.connect()
        stream = aiter(conn)
        factory.made[1].push(Message("n", 1))
        assert (await anext(stream)).payload == 1
        await conn.close()
        assert [m async for m in conn] == []


async def test_an_iterator_may_be_opened_before_the_connection():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    stream = aiter(conn)
    transport.push(Message("n", 1))
    async with conn:
        assert (await anext(stream)).payload == 1


@pytest.mark.parametrize("limit", [0, -1])
def test_a_queue_without_room_is_refused(limit):
    with pytest.raises(ValueError, match="expected max_queue >= 1"):
        Connection(Factory(), max_queue=limit)


async def test_a_first_connect_that_fails_ends_an_iterator_that_waits():
    conn = Connection(Factory(MemoryTransport(fail=ConnectFailed("down"))))
    stream = aiter(conn)
    with pytest.raises(ConnectFailed):
        await conn.connect()
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionLost):
            await anext(stream)
