"""Listeners by the browser's name."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.server_sent_events import ServerSentEvents
from rtlab.protocol.messages import Message
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    "name", ["error", "connected", "disconnected", "reconnecting", "resync", "*", "price", "message"]
)
async def test_a_listener_hears_the_servers_events_of_its_name_and_nothing_else(name: str) -> None:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"event: first\ndata: x\n\n" + f"event: {name}\ndata: a\n\n".encode() * 2)
        writer.write(b"event: last\ndata: x\n\n")
        await writer.drain()
        await asyncio.sleep(20)

    heard: list[Message] = []
    once: list[Message] = []
    async with ScriptedServer(script) as server, asyncio.timeout(20):
        stream = ServerSentEvents(server.url + "/x", plain=True)
        stream.add_event_listener(name, heard.append)

        def first_only(message: Message) -> None:
            once.append(message)
            stream.remove_event_listener(name, first_only)

        stream.add_event_listener(name, first_only)
        stream.remove_event_listener(name, print)  # which is not there
        last = asyncio.Event()
        stream.add_event_listener("last", lambda _: last.set())
        async with stream:
            await last.wait()
    assert [(message.type, message.payload) for message in heard] == [(name, "a")] * 2
    assert [(message.type, message.payload) for message in once] == [(name, "a")]
