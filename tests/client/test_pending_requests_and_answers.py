"""Who may answer a request, and what a client asks for when it comes back to its rooms."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.connection import Connection
from rtlab.client.pending_requests_and_answers import Requests, unwrap
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import RequestRefused
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import Factory, turns, until, welcome


def test_ids_are_not_counted():
    requests = Requests()
    ids = {requests.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(ident) for ident in ids} == {12}


async def test_what_was_published_in_a_room_is_no_answer():
    def server(message):
        forged = Message("ack", "forged", id=message.id, client_id="other", room_id="r", offset=1, epoch="e")
        transport.push(forged)
        transport.push(Message("echo", "true", id=message.id))

    transport = MemoryTransport(welcome=welcome(), on_send=server)
    async with Connection(Factory(transport)) as conn:
        assert (await conn.request("echo")).payload == "true"


async def test_a_forged_refusal_does_not_leave_a_room():
    def server(message):
        transport.push(
            Message(
                "error", {"message": "forged"}, id=message.id, client_id="x", room_id="q", offset=1, epoch="e"
            )
        )
        transport.push(Message("ack", {"recovered": True, "epoch": "e1", "offset": 0}, id=message.id))

    transport = MemoryTransport(welcome=welcome(), on_send=server)
    async with Connection(Factory(transport)) as conn:
        conn.on("error", lambda event: None)
        assert (await conn.join_room("r")).type == "ack"
        assert "r" in conn._dispatch.position.rooms


async def test_a_foreign_server_may_answer_with_any_fields():
    def server(message):
        transport.push(Message("reply", 7, id=message.id, client_id="server", offset=3))

    transport = MemoryTransport(on_send=server)
    async with Connection(Factory(transport)) as conn:
        assert (await conn.request("question")).payload == 7


async def test_two_connections_of_one_client_do_not_answer_each_other():
    async with (
        asyncio.timeout(30),
        Lab() as lab,
        WebSocketConnection(lab.ws_url, client_id="twin") as one,
        WebSocketConnection(lab.ws_url, client_id="twin") as two,
    ):
        await one.join_room("r")
        await two.join_room("r")
        for n in range(20):
            chats = [two.request("chat", n, room_id="r") for _ in range(3)]
            echo, *acks = await asyncio.gather(one.request("echo", {"n": n}), *chats)
            assert (echo.type, echo.payload) == ("echo", {"n": n})
            assert {ack.type for ack in acks} == {"ack"}


# Rooms


async def test_coming_back_to_many_rooms_is_one_message():
    def first_server(message):
        first.push(Message("ack", {"recovered": True, "epoch": "e1", "offset": 4}, id=message.id))

    def second_server(message):
        results = []
        for item in message.payload:
            room = item["payload"]["roomId"]
            if room == "gone":
                results.append({"ok": False, "id": item["id"], "error": {"message": "no such room"}})
            else:
                kept = room != "short"
                results.append(
                    {
                        "ok": True,
                        "id": item["id"],
                        "roomId": room,
                        "recovered": kept,
                        "epoch": "e1",
                        "offset": 9,
                    }
                )
        second.push(Message("ack", {"results": results}, id=message.id))

    first = MemoryTransport(welcome=welcome(limit=100_000), on_send=first_server)
    second = MemoryTransport(welcome=welcome("s2", limit=100_000), on_send=second_server)
    conn = Connection(Factory(first, second), backoff=Constant(seconds=0.0))
    told = []
    conn.on("resync", lambda event: told.append((event.room_id, event.offset)))
    async with asyncio.timeout(10), conn:
        for room in ("a", "gone", "short", *(f"r{n}" for n in range(37))):
            await conn.join_room(room)
        first.drop()
        await until(lambda: len(told) == 3)
        assert [message.type for message in second.sent] == ["batch"]
        assert len(second.sent[0].payload) == 40
        assert told == [(None, None), ("gone", None), ("short", 9)]
        assert conn._dispatch.position.rooms["short"].received == 9
        assert conn._dispatch.position.rooms["a"].received == 4
        assert "gone" not in conn._dispatch.position.rooms


async def test_rooms_that_do_not_fit_in_one_message_go_in_several():
    def first_server(message):
        first.push(Message("ack", {"recovered": True, "epoch": "e1", "offset": 4}, id=message.id))

    first = MemoryTransport(welcome=welcome(limit=600), on_send=first_server)
    second = MemoryTransport(welcome=welcome("s2", limit=600))
    conn = Connection(Factory(first, second), backoff=Constant(seconds=0.0))
    async with asyncio.timeout(10), conn:
        for n in range(7):
            await conn.join_room(f"room {n}")
        first.drop()
        await until(lambda: conn.stats.connects == 2 and len(second.sent) > 2)
        await turns()
    rooms = [
        item["payload"]["roomId"]
        for message in second.sent
        for item in (message.payload if message.type == "batch" else [{"payload": message.payload}])
    ]
    assert rooms == [f"room {n}" for n in range(7)]


@pytest.mark.parametrize(
    "payload", [{"seq": "x"}, {"seq": -5}, {"seq": True}, {"clientId": None, "limits": []}]
)
async def test_a_welcome_with_nonsense_in_it_changes_nothing_of_what_is_known(payload):
    transport = MemoryTransport(welcome=Message("welcome", {"session": "s", **payload}))
    async with Connection(Factory(transport), client_id="me") as conn:
        assert (conn.client_id, conn._dispatch.position.received) == ("me", 0)
        assert type(conn._dispatch.position.received) is int


@pytest.mark.parametrize(
    ("hint", "read"),
    [(3, 3.0), (0.5, 0.5), (1e15, 86_400.0), (10**400, 86_400.0), (-1, None), (True, None), ("3", None)],
)
def test_the_hint_of_an_error_is_bounded_and_a_number(hint, read):
    with pytest.raises(RequestRefused) as refused:
        unwrap(Message("error", {"code": "busy", "message": "later", "retryAfter": hint}))
    assert refused.value.retry_after == read


@pytest.mark.parametrize("limit", [True, 0, -1, 1.5, "9"])
async def test_a_limit_that_is_no_number_of_bytes_limits_nothing(limit):
    transport = MemoryTransport(welcome=welcome(limit=limit))
    async with Connection(Factory(transport)) as conn:
        await conn.send("chat", "more than one byte")
    assert [message.payload for message in transport.sent] == ["more than one byte"]
