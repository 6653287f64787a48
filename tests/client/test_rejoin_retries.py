"""Rooms whose rejoin is refused for now: joined again, one at a time, and not without end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

from rtlab.client import rejoin_retries
from rtlab.client.connection import Connection
from rtlab.errors import NotConnected
from rtlab.patterns.room_manager import RoomManager
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, Factory, leftovers, room_server, turns, until, welcome

HERE = {"recovered": True, "epoch": "e1", "offset": 0}
WAIT = {"code": "rate_limited", "message": "wait", "retryAfter": 0.001}
ROOMS = ["a", "b", "c", "d"]


def limited_server(answers, session="s2"):
    """Return a transport whose other end answers the joins in turn, also those of a batch.

    An answer that is not ``HERE`` is the refusal; None is no answer. Without further answers, all are let in.
    """
    asked = []

    def result(join):
        asked.append(join["payload"]["roomId"])
        answer = answers.pop(0) if answers else HERE
        if answer is HERE:
            return {"id": join["id"], "ok": True, **HERE}
        return answer and {"id": join["id"], "ok": False, "error": answer}

    def take(message):
        if message.type == "batch":
            results = [result(item) for item in message.payload]
            transport.push(Message("ack", {"results": results}, id=message.id))
        elif message.type == "join_room":
            answer = result({"id": message.id, "payload": message.payload})
            if answer is not None:
                kind, payload = ("ack", HERE) if answer["ok"] else ("error", answer["error"])
                transport.push(Message(kind, payload, id=message.id))

    transport = MemoryTransport(welcome=welcome(session), on_send=take)
    transport.asked = asked
    return transport


@asynccontextmanager
async def back_in(*transports, rooms=ROOMS, **options):
    """A connection that was in some rooms, lost its session, and has connected again."""
    first = room_server(lambda payload: HERE, welcome=welcome())
    conn = Connection(Factory(first, *transports), backoff=FAST, **options)
    conn.told = []
    conn.on("resync", lambda event: conn.told.append((event.room_id, event.reason)))
    async with asyncio.timeout(20), conn, RoomManager(conn) as manager:
        conn.manager = manager
        for room in rooms:
            await manager.join_room(room)
        first.drop()
        await until(lambda: conn.stats.connects == 2)
        yield conn
    assert leftovers() == []


def out_of(conn):
    return conn._dispatch.position.unconfirmed()


async def test_rooms_beyond_a_rate_limit_are_joined_again_without_the_application():
    second = limited_server([HERE, WAIT, WAIT, WAIT, WAIT, HERE, WAIT])
    async with back_in(second) as conn:
        await until(lambda: not out_of(conn))
        assert second.asked == [*ROOMS, "b", "c", "d", "b", "d"]
        assert [room for room, _ in conn.told] == [None]  # the session's end alone
        assert list(conn.manager) == ROOMS
        assert conn._dispatch.position.rooms.keys() == set(ROOMS)


async def test_a_room_is_asked_about_again_if_the_answer_is_lost():
    second = limited_server([WAIT, None, HERE])
    async with back_in(second, rooms=["a"], request_timeout=0.2) as conn:
        await until(lambda: not out_of(conn))
        assert len(second.asked) >= 3


async def test_a_server_that_stays_busy_is_not_asked_for_ever(monkeypatch):
    monkeypatch.setattr(rejoin_retries, "_PAUSE", 0.00001)
    busy = {"code": "busy", "message": "too busy"}
    second = limited_server([busy] * 100)
    async with back_in(second, rooms=["a"]) as conn:
        await until(lambda: len(conn.told) == 2)
        assert conn.told[1][0] == "a"
        assert "too busy" in conn.told[1][1]
        assert "a" not in conn.manager
        await turns()
        assert second.asked == ["a"] * 10


async def test_a_final_refusal_of_a_retry_is_told_once():
    second = limited_server([WAIT, {"code": "forbidden", "message": "members only"}])
    async with back_in(second, rooms=["a"]) as conn:
        await until(lambda: len(conn.told) == 2)
        await turns()
        assert [room for room, _ in conn.told] == [None, "a"]
        assert second.asked == ["a"] * 2


async def test_a_room_that_is_left_meanwhile_is_not_joined_again():
    second = limited_server([HERE, HERE, WAIT, WAIT])
    async with back_in(second) as conn:
        await until(lambda: conn._runner.opened._retries._task is not None)
        conn._dispatch.position.leave("d")  # as `leave_room` does once it has the answer
        await until(conn._runner.opened._retries._task.done)
        assert second.asked == [*ROOMS, "c"]
        assert not out_of(conn)


async def test_the_next_connection_joins_what_the_former_could_not():
    long = {**WAIT, "retryAfter": 3600}
    second, third = limited_server([long]), limited_server([], "s3")
    async with back_in(second, third, rooms=["a"]) as conn:
        await until(lambda: second.asked)
        await turns()
        retrying = conn._runner.opened._retries._task
        second.drop()
        await until(lambda: conn.stats.connects == 3 and not out_of(conn))
        assert retrying.cancelled()
        assert (second.asked, third.asked) == (["a"], ["a"])


async def test_a_join_that_was_lost_in_a_move_is_asked_again(monkeypatch):
    """The connection stays up, so no later one joins the room."""
    monkeypatch.setattr(rejoin_retries, "_PAUSE", 0.001)
    monkeypatch.setattr(rejoin_retries, "_SPACING", 0.001)
    out, asked = ["a"], []

    async def join(room_id):
        asked.append(room_id)
        if len(asked) == 1:
            raise NotConnected("lost in a move")
        out.clear()

    dispatch = SimpleNamespace(position=SimpleNamespace(unconfirmed=lambda: out))
    retries = rejoin_retries.RejoinRetries(dispatch, join, lambda run: asyncio.create_task(run()))
    retries.add("a", TimeoutError())
    async with asyncio.timeout(10):
        await retries._task
    assert (asked, out) == (["a", "a"], [])
