"""Other code cancels all tasks, as some cleanups do: a task that has not begun runs no code of its own."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.connection import Connection, State
from rtlab.errors import ConnectFailed, ConnectionLost
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, leftovers, room_server, until, welcome


@contextlib.contextmanager
def stillborn(name):
    """Cancel the first task that runs the coroutine function `name`, before its first step."""
    loop, cancelled = asyncio.get_running_loop(), []

    def factory(loop, coro, **options):
        task = asyncio.Task(coro, loop=loop, **options)
        if not cancelled and coro.__qualname__.endswith(f".{name}"):
            cancelled.append(task)
            task.cancel()
        return task

    loop.set_task_factory(factory)
    try:
        yield cancelled
    finally:
        loop.set_task_factory(None)
        assert cancelled, name


def transports(count=3):
    return [MemoryTransport(welcome=welcome(f"s{n}")) for n in range(count)]


async def test_a_first_attempt_that_never_begins_fails_and_the_next_connect_works():
    conn = Connection(Factory(*transports()))
    async with asyncio.timeout(10):
        with stillborn("_run"), pytest.raises(ConnectFailed, match="stopped before it began"):
            await conn.connect()
        assert conn.state is State.DISCONNECTED
        await conn.connect()
        await conn.close()
    assert leftovers() == []


async def test_a_later_attempt_that_never_begins_ends_the_connection_for_all_to_see():
    first, *_ = made = transports()
    conn = Connection(Factory(*made), backoff=FAST)
    async with asyncio.timeout(10):
        await conn.connect()
        with stillborn("_run"):
            first.drop()
            with pytest.raises(ConnectionLost):
                await anext(aiter(conn))
        assert conn.state is State.DISCONNECTED
        await conn.close()
    assert leftovers() == []


async def test_rooms_are_joined_on_the_next_connection_if_no_task_could_do_it_on_this_one():
    class Ending(MemoryTransport):
        def abort(self):
            super().abort()
            self.drop()

    def confirm(payload):
        return {"recovered": False, "epoch": "e1", "offset": 0}

    first = room_server(confirm, welcome=welcome("s0"))
    second = Ending(welcome=welcome("s1"))
    third = room_server(confirm, welcome=welcome("s2"))
    conn = Connection(Factory(first, second, third), backoff=FAST)
    async with asyncio.timeout(10):
        await conn.connect()
        await conn.join_room("r")
        with stillborn("_rejoin"):
            first.drop()
            await until(lambda: [message.type for message in third.sent] == ["join_room"])
        assert second.sent == []
        await conn.close()
    assert leftovers() == []


async def test_a_connection_whose_token_nobody_renews_is_opened_again():
    conn = Connection(Factory(*transports()), backoff=FAST, auth=Tokens(access_token="t"))
    ends = []
    conn.on("disconnected", lambda event: ends.append(event.reason))
    async with asyncio.timeout(10):
        with stillborn("_keep_token"):
            await conn.connect()
            await until(lambda: conn.stats.connects == 2)
        assert ends == ["the renewal of the access token was cancelled"]
        await conn.close()
    assert leftovers() == []


@pytest.mark.parametrize("mode", ["at_least_once", "effectively_once"])
async def test_a_frame_that_no_task_sends_is_sent_again(mode):
    transport = MemoryTransport(welcome=welcome(limit=100_000))

    def answer(batch):
        results = [{"ok": True, "id": item.get("id"), "incarnation": 1} for item in batch.payload]
        transport.push(Message("ack", {"results": results}, id=batch.id))

    transport._on_send = answer
    conn = Connection(Factory(transport), heartbeat=None)
    async with asyncio.timeout(10):
        await conn.connect()
        with stillborn("_send"):
            receipt = await conn.send("chat", "hi", room_id="r", delivery=mode)
            await receipt.acked(8)
        await conn.close()
    assert leftovers() == []
