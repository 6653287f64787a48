"""Writes that wait for a peer that does not read, and what breaks them off."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from rtlab.client.connection import Connection
from rtlab.errors import NotConnected, TransportClosed
from rtlab.policies.backoff import Constant
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, turns, welcome


class Stuck(MemoryTransport):
    """Its peer does not read."""

    async def send(self, message):
        await asyncio.Event().wait()


async def test_the_timeout_covers_a_write_that_waits():
    conn = Connection(Factory(Stuck(welcome=welcome())))
    await conn.connect()
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError, match="no answer to 'echo' within"):
            await conn.request("echo", timeout=0.05)
    task = asyncio.current_task()
    assert task.cancelling() == 0
    assert len(conn._sender._requests) == 0
    await conn.close()


async def test_a_caller_that_is_cancelled_too_hears_of_that():
    conn = Connection(Factory(Stuck(welcome=welcome())))
    await conn.connect()
    request = asyncio.create_task(conn.request("echo", timeout=30))
    await turns()
    request.cancel()
    conn._sender._writes.break_off_all("late")
    with pytest.raises(asyncio.CancelledError):
        await request
    await conn.close()


async def test_a_lost_connection_wakes_a_write_that_its_transport_forgot():
    transport = Stuck(welcome=welcome())
    conn = Connection(Factory(transport), backoff=Constant(seconds=60.0))
    await conn.connect()
    sending = asyncio.create_task(conn.send("n"))
    await turns()
    transport.drop()
    async with asyncio.timeout(10):
        with pytest.raises(NotConnected, match="before the message was sent"):
            await sending
    await conn.close()


async def test_close_wakes_a_write_that_its_transport_forgot():
    conn = Connection(Factory(Stuck(welcome=welcome())))
    await conn.connect()
    sending = asyncio.create_task(conn.send("n"))
    await turns()
    async with asyncio.timeout(10):
        await conn.close()
        with pytest.raises(NotConnected, match="closed by its owner"):
            await sending


async def test_an_error_of_the_transport_is_not_hidden():
    class Broken(MemoryTransport):
        async def send(self, message):
            raise TransportClosed(1006, "gone")

    async with Connection(Factory(Broken(welcome=welcome()))) as conn:
        with pytest.raises(NotConnected, match="gone"):
            await conn.send("n")


async def test_a_write_may_wait_more_than_once():
    class Slow(MemoryTransport):
        async def send(self, message):
            asyncio.get_running_loop().call_soon(box.put_nowait, 7)
            await asyncio.sleep(0)
            assert await box.get() == 7
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            await super().send(message)

    box = asyncio.Queue()
    transport = Slow(welcome=welcome())
    async with asyncio.timeout(10), Connection(Factory(transport)) as conn:
        await conn.send("n")
        assert [message.type for message in transport.sent] == ["n"]
        assert conn._sender._writes._waiting == set()
