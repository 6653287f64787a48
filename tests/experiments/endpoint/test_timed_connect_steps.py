"""What a client must accept and refuse in an answer's head."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.timed_connect_steps import dial
from rtlab.protocol.urls import parse_url
from rtlab.protocol.websocket_handshake import accept_of
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response


async def test_the_answer_comes_behind_early_hints() -> None:
    async def hints(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        assert request.headers["x-mine"] == b"1"
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + response(200, b"{}"))

    async with (
        ScriptedServer(hints) as server,
        await dial(parse_url(server.url), headers={"X-Mine": "1"}) as wire,
    ):
        assert (await wire.get()).status == 200


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("Connection: Upgrade\r\nSec-WebSocket-Accept: {}", "without Upgrade: websocket"),
        ("Upgrade: websocket\r\nSec-WebSocket-Accept: {}", "without Connection: Upgrade"),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x{}", "with a wrong Sec-"),
    ],
)
async def test_a_101_that_is_no_websockets_is_refused(fields: str, said: str) -> None:
    async def almost(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        accept = accept_of(request.headers["sec-websocket-key"].decode())
        writer.write(f"HTTP/1.1 101 X\r\n{fields.format(accept)}\r\n\r\n".encode())

    async with ScriptedServer(almost) as server, await dial(parse_url(server.url)) as wire:
        with pytest.raises(ConnectFailed, match=said):
            await wire.upgrade()


async def test_silence_is_no_end() -> None:
    async def slow(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(60)

    async with ScriptedServer(slow) as server, await dial(parse_url(server.url)) as wire:
        await wire.get()
        with pytest.raises(TimeoutError):
            await wire.more(0.01)


@pytest.mark.parametrize(("host", "named"), [("127.0.0.1", False), ("localhost", True)])
async def test_only_a_name_is_looked_up(host: str, named: bool) -> None:
    async def page(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        pass

    async with ScriptedServer(page) as server:
        url = parse_url(server.url.replace("127.0.0.1", host))
        async with await dial(url) as wire:
            assert (wire.steps.dns is not None) == named
