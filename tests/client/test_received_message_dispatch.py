"""What happens to each message: once, in order, across sessions, iterators and full queues."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from rtlab.client.connection import Connection
from rtlab.errors import MessageError, RequestRefused
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, leftovers, room_server, said, turns, until, welcome


def payloads(conn, name="n"):
    seen = []
    conn.on(name, lambda m: seen.append(m.payload))
    return seen


def two(second, **options):
    first = MemoryTransport(welcome=welcome())
    return first, second, Connection(Factory(first, second), backoff=FAST, **options)


# Resuming


async def test_a_message_of_an_ended_session_does_not_move_the_next_ones_position():
    first, second, conn = two(MemoryTransport(welcome=welcome("s2", seq=0)))
    await conn.connect()
    stream = aiter(conn)
    for n in (1, 2, 3):
        first.push(Message("n", n))
    assert (await anext(stream)).payload == 1
    first.drop()
    await until(lambda: conn.stats.connects == 2)
    assert [(await anext(stream)).payload for _ in range(2)] == [2, 3]
    assert conn._dispatch.position.resume().seq == 0
    assert conn._dispatch.position.resume().session == "s2"
    second.push(Message("n", 4))
    second.push(Message("n", 5))
    assert [(await anext(stream)).payload for _ in range(2)] == [4, 5]
    assert conn._dispatch.position.resume().seq == 1
    await conn.close()


async def test_a_session_that_goes_on_without_its_rooms_is_asked_for_them_again():
    """Else the server, which never got the first request, refuses what is said in the room, for good."""

    def answer(payload):
        return {"recovered": True, "epoch": "e1", "offset": 4}

    first = room_server(answer, welcome=welcome("s1"))
    restarted = MemoryTransport(welcome=welcome("s2"))  # it ends before the answer
    third = room_server(answer, welcome=welcome("s2", resumed=True))
    fourth = room_server(answer, welcome=welcome("s2", resumed=True))
    conn = Connection(Factory(first, restarted, third, fourth), backoff=FAST)
    resyncs: list[str | None] = []
    conn.on("resync", lambda event: resyncs.append(event.room_id))
    await conn.connect()
    await conn.join_room("r")
    for n, transport in enumerate((first, restarted, third), 2):
        transport.drop()
        await until(lambda n=n: conn.stats.connects == n)
        await turns()
    asked = [
        [m.payload["roomId"] for m in t.sent if m.type == "join_room"] for t in (restarted, third, fourth)
    ]
    assert asked == [["r"], ["r"], []]
    assert resyncs == [None]  # the session's end alone: the room went on
    await conn.close()


async def test_a_frame_that_cannot_be_read_is_replayed_like_any_other():
    first, second, conn = two(MemoryTransport(welcome=welcome(seq=1, resumed=True)))
    conn.on("error", lambda event: None)
    await conn.connect()
    stream = aiter(conn)
    first.push(Message("n", 1))
    first.push(MessageError("not JSON"))
    first.push(Message("n", 3))
    assert [(await anext(stream)).payload for _ in range(2)] == [1, 3]
    first.drop()
    await until(lambda: conn.stats.connects == 2)
    assert second.resume.seq == 1
    for item in (MessageError("not JSON"), Message("n", 3), Message("n", 4)):
        second.push(item)
    async with asyncio.timeout(10):
        assert (await anext(stream)).payload == 4
    assert conn.stats.dead_letters == 1
    await conn.close()


async def test_what_is_handled_while_the_next_transport_opens_is_not_delivered_again():
    """The server replays from where it was asked to, however far the reader has come by its answer."""
    gate = asyncio.Event()
    first, second, conn = two(MemoryTransport(welcome=welcome(seq=0, resumed=True), gate=gate))
    seen = payloads(conn)
    await conn.connect()
    stream = aiter(conn)
    for n in (1, 2, 3):
        first.push(Message("n", n))
    assert (await anext(stream)).payload == 1
    first.drop()
    await until(lambda: second.resume is not None)
    assert second.resume.seq == 0
    assert [(await anext(stream)).payload for _ in range(2)] == [2, 3]  # 1 and 2 are handled now
    gate.set()
    await until(lambda: conn.stats.connects == 2)
    for n in (1, 2, 3, 4):
        second.push(Message("n", n))
    async with asyncio.timeout(10):
        assert (await anext(stream)).payload == 4
    assert seen == [1, 2, 3, 4]
    assert conn._dispatch.position.received == 4
    await conn.close()


async def test_what_an_abandoned_iterator_held_does_not_reach_handlers_again():
    first, second, conn = two(MemoryTransport(welcome=welcome(seq=0, resumed=True)))
    seen, chats = payloads(conn), payloads(conn, "chat")
    await conn.connect()
    stream = aiter(conn)
    for item in (Message("n", 1), said(1), Message("n", 2)):
        first.push(item)
    assert (await anext(stream)).payload == 1
    del stream
    gc.collect()
    first.drop()
    await until(lambda: conn.stats.connects == 2)
    for item in (Message("n", 1), said(1), Message("n", 2), said(2), Message("n", 3)):
        second.push(item)
    await until(lambda: 3 in seen)
    assert (seen, chats) == ([1, 2, 3], [1, 2])
    assert conn._dispatch.position.resume().seq == 5
    await conn.close()


async def test_rooms_go_on_after_what_was_received_whoever_has_not_read_it():
    asked = []

    def answer(payload):
        asked.append(payload["offset"])
        return {"recovered": True, "epoch": "e1", "offset": 3}

    first = room_server(lambda p: {"recovered": True, "epoch": "e1", "offset": 0}, welcome=welcome())
    second = room_server(answer, welcome=welcome("s2"))
    conn = Connection(Factory(first, second), backoff=FAST)
    seen = payloads(conn, "chat")
    await conn.connect()
    await conn.join_room("r")
    stream = aiter(conn)
    first.push(said(1))
    first.push(said(2))
    await until(lambda: len(seen) == 2)
    del stream
    gc.collect()
    first.drop()
    await until(lambda: asked)
    assert asked == [2]
    await conn.close()


# Iterators


async def test_a_message_that_waits_for_room_outlives_the_connection():
    """The reader is cancelled while it waits: what it held is neither lost nor doubled."""
    first, _second, conn = two(MemoryTransport(welcome=welcome(seq=0, resumed=True)), max_queue=2)
    seen = payloads(conn)
    await conn.connect()
    stream = aiter(conn)
    for n in (1, 2, 3, 4):
        first.push(Message("n", n))
    await turns()
    received = len(seen)
    assert received < 4
    conn._runner._attempt.cancel()
    await conn.close()
    got = [(await anext(stream)).payload for _ in range(received)]
    assert got == seen


# Requests


async def test_a_late_refusal_of_a_request_is_logged(caplog):
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    async with conn:
        with pytest.raises(TimeoutError):
            await conn.request("echo", timeout=0.001)
        with caplog.at_level(logging.WARNING, "rtlab"):
            transport.push(Message("error", {"message": "too late"}, id=transport.sent[0].id))
            await until(lambda: conn.stats.messages_in == 1)
    assert "too late" in caplog.text


async def test_a_refusal_that_a_request_raises_is_not_logged_too(caplog):
    def refuse(message):
        transport.push(Message("error", {"message": "not you"}, id=message.id))

    transport = MemoryTransport(welcome=welcome(), on_send=refuse)
    conn = Connection(Factory(transport))
    with caplog.at_level(logging.WARNING, "rtlab"):
        async with conn:
            with pytest.raises(RequestRefused, match="not you"):
                await conn.request("echo")
    assert caplog.text == ""


async def test_a_message_called_star_is_delivered_once():
    transport = MemoryTransport(welcome=welcome())
    conn = Connection(Factory(transport))
    seen = []
    conn.on("*", seen.append)
    async with conn:
        transport.push(Message("*", 1))
        transport.push(Message("end"))
        await until(lambda: conn.stats.messages_in == 2)
    assert [m.type for m in seen] == ["*", "end"]


# Rooms


async def test_a_session_that_goes_on_is_still_in_its_rooms():
    first = room_server(lambda p: {"recovered": True, "epoch": "e1", "offset": 0}, welcome=welcome())
    second = MemoryTransport(welcome=welcome(seq=1, resumed=True))
    conn = Connection(Factory(first, second), backoff=FAST)
    await conn.connect()
    await conn.join_room("r")
    first.drop()
    await until(lambda: conn.stats.connects == 2)
    await turns()
    assert second.sent == []
    await conn.close()


async def test_a_room_that_was_left_stays_left():
    """Messages of the room may be on their way when it is left."""
    asked = []

    def server(message):
        if message.type == "leave_room":
            first.push(said(1))
            first.push(Message("ack", {}, id=message.id))
        elif message.type == "join_room":
            first.push(Message("ack", {"recovered": True, "epoch": "e1", "offset": 0}, id=message.id))

    first = MemoryTransport(welcome=welcome(), on_send=server)
    second = MemoryTransport(welcome=welcome("s2"), on_send=asked.append)
    conn = Connection(Factory(first, second), backoff=FAST)
    await conn.connect()
    await conn.join_room("r")
    await conn.leave_room("r")
    first.drop()
    await until(lambda: conn.stats.connects == 2)
    await turns()
    assert asked == []
    await conn.close()


async def test_a_room_that_refuses_us_on_return_is_told(caplog):
    def refuse(message):
        second.push(Message("error", {"message": "members only"}, id=message.id))

    first = room_server(lambda p: {"recovered": True, "epoch": "e1", "offset": 4}, welcome=welcome())
    second = MemoryTransport(welcome=welcome("s2"), on_send=refuse)
    conn = Connection(Factory(first, second), backoff=FAST)
    told = []
    conn.on("resync", lambda event: told.append((event.room_id, event.reason)))
    await conn.connect()
    await conn.join_room("r")
    with caplog.at_level(logging.WARNING, "rtlab"):
        first.drop()
        await until(lambda: len(told) == 2)
    assert told[1][0] == "r"
    assert "members only" in told[1][1]
    assert "members only" in caplog.text
    assert "r" not in conn._dispatch.position.rooms
    await conn.close()
    assert leftovers() == []


async def test_a_first_join_that_is_refused_is_no_gap():
    def refuse(message):
        transport.push(Message("error", {"message": "members only"}, id=message.id))

    transport = MemoryTransport(welcome=welcome(), on_send=refuse)
    conn = Connection(Factory(transport))
    gaps = []
    conn.on("resync", gaps.append)
    async with conn:
        with pytest.raises(RequestRefused):
            await conn.join_room("r")
    assert gaps == []


@pytest.mark.parametrize("refusal", [{"code": "rate_limited", "retryAfter": 0.01}, {"code": "busy"}])
async def test_a_probe_that_is_refused_for_now_leaves_the_member_where_it_is(refusal):
    answers = [
        Message("ack", {"recovered": True, "epoch": "e1", "offset": 4}),
        Message("error", {**refusal, "message": "wait"}),
    ]

    def answer(message):
        reply = answers.pop(0)
        transport.push(Message(reply.type, reply.payload, id=message.id))

    transport = MemoryTransport(welcome=welcome(), on_send=answer)
    conn = Connection(Factory(transport))
    gaps, seen = [], payloads(conn, "chat")
    conn.on("resync", gaps.append)
    async with conn:
        await conn.join_room("r")
        with pytest.raises(RequestRefused, match="wait"):
            await conn.join_room("r", probe=True)
        assert "r" in conn._dispatch.position.rooms
        transport.push(said(5))
        transport.push(said(6))
        await until(lambda: seen == [5, 6])
    assert gaps == []
