"""Who waits for a connection: together, and given up one by one."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.connection import Connection, State
from rtlab.errors import ConnectFailed
from rtlab.policies.backoff import Constant
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, leftovers, turns, until, welcome


async def test_connect_twice_is_one_connection():
    factory = Factory(MemoryTransport(welcome=welcome()))
    conn = Connection(factory)
    await asyncio.gather(conn.connect(), conn.connect())
    await conn.connect()
    assert len(factory.made) == 1
    await conn.close()
    await conn.close()


@pytest.mark.parametrize("steps", range(8))
async def test_cancelling_connect_at_any_step_leaves_nothing(steps):
    gate = asyncio.Event()
    transport = MemoryTransport(welcome=welcome(), gate=gate)
    conn = Connection(Factory(transport))
    task = asyncio.create_task(conn.connect())
    for step in range(steps):
        if step == 4:
            gate.set()
        await asyncio.sleep(0)
    task.cancel()
    result = await asyncio.gather(task, return_exceptions=True)
    if isinstance(result[0], asyncio.CancelledError):
        # Cancelled before its first step, the task never touched the connection.
        assert conn.state is (State.CLOSED if steps else State.DISCONNECTED)
    await conn.close()
    assert not conn._runner._tasks.running
    assert len(conn._runner._callers) == 0
    assert leftovers() == []


async def test_one_who_gives_up_does_not_end_the_attempt_of_another():
    gate = asyncio.Event()
    conn = Connection(Factory(MemoryTransport(welcome=welcome(), gate=gate)))
    first = asyncio.create_task(conn.connect())
    await turns()
    second = asyncio.create_task(conn.connect())
    await turns()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    gate.set()
    async with asyncio.timeout(10):
        await second
    assert conn.state is State.CONNECTED
    await conn.close()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_last_who_gives_up_ends_the_attempt(order):
    conn = Connection(Factory(MemoryTransport(welcome=welcome(), gate=asyncio.Event())))
    tasks = []
    for _ in range(2):
        tasks.append(asyncio.create_task(conn.connect()))
        await turns()
    for index in order:
        tasks[index].cancel()
        await asyncio.gather(tasks[index], return_exceptions=True)
    assert conn.state is State.CLOSED
    assert leftovers() == []


async def test_giving_up_ends_the_attempt_of_a_later_life_too():
    hangs = MemoryTransport(welcome=welcome("s2"), gate=asyncio.Event())
    conn = Connection(Factory(MemoryTransport(welcome=welcome()), hangs))
    await conn.connect()
    await conn.close()
    connecting = asyncio.create_task(conn.connect())
    await turns()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    assert conn.state is State.CLOSED
    assert leftovers() == []


async def test_one_who_gives_up_waiting_for_a_reconnect_does_not_end_it():
    factory = Factory(MemoryTransport(welcome=welcome()), MemoryTransport(welcome=welcome()))
    conn = Connection(factory, backoff=Constant(seconds=60.0))
    await conn.connect()
    factory.made[0].drop()
    await until(lambda: conn.state is State.RECONNECTING)
    waiting = asyncio.create_task(conn.connect())
    await turns()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert conn.state is State.RECONNECTING
    conn.reconnect_now()
    await until(lambda: conn.state is State.CONNECTED)
    await conn.close()


@pytest.mark.parametrize("cancelled", ["before the close", "after the close"])
async def test_one_who_gives_up_after_the_close_does_not_end_the_next_life(cancelled):
    """close() need not yield: the cancelled caller may resume only when the next connect() waits."""
    down, up = MemoryTransport(fail=ConnectFailed("down")), MemoryTransport(welcome=welcome())
    conn = Connection(Factory(down, up), retry_initial=True, backoff=Constant(seconds=60.0))
    first = asyncio.create_task(conn.connect())
    await until(lambda: conn.state is State.RECONNECTING)
    await turns()
    if cancelled == "before the close":
        first.cancel()
    await conn.close()
    if cancelled == "after the close":
        first.cancel()
    async with asyncio.timeout(10):
        await conn.connect()
    assert conn.state is State.CONNECTED
    await asyncio.gather(first, return_exceptions=True)
    await turns()
    assert conn.state is State.CONNECTED
    await conn.close()
    assert leftovers() == []
