"""What a client sends: without a connection, beyond the limit, and when an answer is due."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rtlab.client.connection import Connection
from rtlab.errors import MessageError, MessageTooLarge, NotConnected, RequestRefused, TransportClosed
from rtlab.policies.backoff import Constant
from rtlab.policies.state_machine_types import State
from rtlab.protocol.message_format import Message
from rtlab.protocol.payload_schemas import Schemas
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, turns, until, welcome


async def test_send_without_a_connection():
    conn = Connection(Factory())
    with pytest.raises(NotConnected, match=r"expected .*Connected, got Disconnected"):
        await conn.send("chat")


async def test_who_sends_in_a_loop_lets_the_event_loop_read():
    got: list[Message] = []
    transport = MemoryTransport(welcome=welcome())
    async with Connection(Factory(transport)) as conn:
        conn.on("chat", got.append)
        transport.push(Message("chat", "while it sends"))
        for n in range(1000):
            await conn.send("echo", n)
        assert len(got) == 1


@pytest.mark.parametrize("method", ["send", "ping"])
async def test_who_sends_in_a_loop_lets_the_event_loop_notice_the_loss(method: str):
    class Gone(MemoryTransport):
        async def _gone(self, *_: object) -> float:
            raise TransportClosed(1006, "the transport knows it first")

        send = ping = _gone  # type: ignore[assignment]

    transport = Gone(welcome=welcome())
    conn = Connection(Factory(transport), backoff=Constant(seconds=60.0))
    await conn.connect()
    asyncio.get_running_loop().call_soon(transport.drop)
    for _ in range(100):
        if conn.state is not State.CONNECTED:
            break
        with pytest.raises(NotConnected, match="knows it first"):
            await getattr(conn, method)(*["echo"][: method == "send"])
    assert conn.state is State.RECONNECTING
    await conn.close()


async def test_the_servers_limit_is_checked_before_sending():
    conn = Connection(Factory(MemoryTransport(welcome=welcome(limit=50))))
    errors = []
    conn.on("error", errors.append)
    async with conn:
        with pytest.raises(MessageTooLarge):
            await conn.send("chat", "x" * 100)
    assert conn.stats.dead_letters == 1
    assert errors[0].code == "too_large"


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once", "effectively_once"])
async def test_a_schema_holds_however_a_message_is_delivered(delivery):
    schemas = Schemas({("chat", 1): {"type": "string"}})
    transport = MemoryTransport(welcome=welcome())
    async with Connection(Factory(transport), schemas=schemas) as conn:
        with pytest.raises(MessageError, match="chat: payload"):
            await conn.send("chat", 5, delivery=delivery)
        await turns(3)
        assert conn.stats.dead_letters == 1
    assert transport.sent == []


def answering(kind="echo", payload=None):
    box = {}

    def answer(message):
        if message.id is not None:
            box["t"].push(Message(kind, payload, id=message.id))

    box["t"] = MemoryTransport(welcome=welcome(), on_send=answer)
    return box["t"]


async def test_a_request_gets_its_answer():
    conn = Connection(Factory(answering(payload=5)))
    async with conn:
        assert (await conn.request("echo", 5)).payload == 5


async def test_a_refused_request_raises_the_servers_words():
    conn = Connection(Factory(answering("error", {"code": "no", "message": "not you"})))
    async with conn:
        with pytest.raises(RequestRefused, match="not you") as caught:
            await conn.request("join_room")
    assert caught.value.code == "no"


async def test_a_request_times_out_and_is_forgotten():
    conn = Connection(Factory(MemoryTransport(welcome=welcome())))
    async with conn:
        with pytest.raises(TimeoutError):
            await conn.request("echo", timeout=0.01)
        assert not conn._sender._requests._pending


async def test_a_lost_connection_fails_open_requests():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport), backoff=Constant(seconds=60.0))
    await conn.connect()
    request = asyncio.create_task(conn.request("echo"))
    await until(lambda: transport.sent)
    transport.drop()
    with pytest.raises(NotConnected, match="before the answer"):
        await request
    await conn.close()


async def test_a_request_that_is_cut_off_while_writing_leaves_no_unread_exception():
    """The loss fails the answer, and the write: only one of the two can be awaited."""
    blocked = asyncio.Event()

    class Slow(MemoryTransport):
        async def send(self, message):
            await blocked.wait()
            raise TransportClosed(1006, "gone")

    transport = Slow(welcome=welcome())
    conn = Connection(Factory(transport), backoff=Constant(seconds=60.0))
    await conn.connect()
    unread = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unread.append(context))
    request = asyncio.create_task(conn.request("echo"))
    await turns()
    transport.drop()
    await until(lambda: conn.stats.disconnects == 1)
    blocked.set()
    results = await asyncio.gather(request, return_exceptions=True)
    assert [type(error) for error in results] == [NotConnected]
    del request, results
    gc.collect()
    await conn.close()
    assert unread == []


async def test_a_request_without_a_connection_leaves_no_timer():
    conn = Connection(Factory())
    with pytest.raises(NotConnected):
        await conn.request("echo")
    assert conn._sender._requests._timer is None


async def test_what_is_buffered_can_be_seen_and_waited_for():
    class Slow(MemoryTransport):
        waiting = 3

        @property
        def buffered_bytes(self) -> int:
            return self.waiting

    transport = Slow(welcome=welcome())
    conn = Connection(Factory(transport))
    assert conn.buffered_amount == 0
    async with conn:
        assert conn.buffered_amount == 3
        with pytest.raises(TimeoutError):
            await conn.drain(timeout=0.01)
        draining = asyncio.create_task(conn.drain())
        await asyncio.sleep(0)
        transport.waiting = 0
        await draining
    with pytest.raises(NotConnected):
        await conn.drain()
