"""What a client accepts against what a server may send it: batches, and messages of the full size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.transports._batch_query import batches_within
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message
from rtlab.protocol.urls import parse_url
from tests.patterns.in_process import client, publish, serving

KINDS = (WebSocketConnection, ServerSentEvents, LongPolling)


async def payloads(stream: AsyncIterator[Message], count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(30):
        async for message in stream:
            found += [message.payload] if message.type == "chat" else []
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_messages_that_a_client_takes_one_by_one_never_end_it_together(kind) -> None:
    path, scheme = ("/ws", "ws") if kind is WebSocketConnection else ("/", "http")
    async with serving() as server:
        url = f"{scheme}://127.0.0.1:{server.port}{path}?batch=0.05"
        async with kind(url, max_message_bytes=8_000) as conn:
            await conn.join_room("r")
            stream = aiter(conn)
            for n in range(60):  # 60 kB, in one turn
                publish(server, "r", f"{n:01000}")
            assert await payloads(stream, 60) == [f"{n:01000}" for n in range(60)]
            assert conn.stats.disconnects == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_the_largest_message_that_a_server_takes_ends_no_reader_of_its_room(kind) -> None:
    async with serving() as server, client(server, kind) as reader, client(server) as writer:
        stream = aiter(reader)
        await reader.join_room("r")
        await writer.join_room("r")
        # Larger than a session's backlog, it is kept as the newest alone: behind it, the list of the
        # room's users would push it out between two polls.
        async with asyncio.timeout(30):
            async for message in stream:
                if message.type == "users_update" and len(message.payload) == 2:
                    break
        text = "x" * (writer.max_message_bytes - len(JSON.encode(Message("chat", "", room_id="r"))))
        await writer.send("chat", text, room_id="r")
        assert await payloads(stream, 1) == [text]  # with an offset, an epoch and the sender's name
        assert reader.stats.disconnects == 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("batch=0.02", "batch=0.02:100:7952"),
        ("room=a&batch=0:5", "room=a&batch=0:5:7952"),
        ("batch=0.02:50:100", "batch=0.02:50:100"),
        ("batch=0.02&batch=0.5", "batch=0.02:100:7952"),
        ("batch=soon", "batch=soon"),
        (None, None),
    ],
)
def test_a_batch_is_asked_for_within_a_limit(query: str | None, found: str | None) -> None:
    url = parse_url("ws://host/ws" + ("" if query is None else f"?{query}"))
    assert (batches_within(url, 10_000).query or "").replace("%3A", ":") == (found or "")
