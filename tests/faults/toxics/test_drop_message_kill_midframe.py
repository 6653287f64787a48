"""Message-aware toxics against a WebSocket and an event stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets
from aiohttp import web

from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.proxy.proxy_collection import Collection
from tests.faults.conftest import eventually

SEND = web.AppKey("send", asyncio.Queue[str])


async def ws(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await (socket.send_str if message.type is web.WSMsgType.TEXT else socket.send_bytes)(message.data)
    return socket


async def sse(request: web.Request) -> web.StreamResponse:
    """Writes what the test puts into the queue; an empty string ends it."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    if "close" in request.query:
        response.force_close()
    await response.prepare(request)
    while text := await request.app[SEND].get():
        await response.write(text.encode())
    await response.write_eof()
    return response


@pytest.fixture
def send() -> asyncio.Queue[str]:
    return asyncio.Queue()


@pytest.fixture
async def site(collection: Collection, send: asyncio.Queue[str]) -> AsyncIterator[Proxy]:
    app = web.Application()
    app[SEND] = send
    app.router.add_get("/ws", ws)
    app.router.add_get("/sse", sse)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"127.0.0.1:{runner.addresses[0][1]}"
    proxy = await collection.create({"name": "site", "upstream": upstream})
    yield proxy
    await proxy.stop()
    await runner.cleanup()


def connect(site: Proxy, **kwargs: object) -> websockets.connect:
    return websockets.connect(f"ws://{site.listen}/ws", proxy=None, compression=None, **kwargs)  # pyright: ignore


async def talk(socket: websockets.ClientConnection, kinds: list[str]) -> list[str]:
    """Send one message of each kind; which come back before the last one does."""
    for n, kind in enumerate(kinds):
        await socket.send(json.dumps({"type": kind, "n": n}))
    await socket.send('{"type": "end"}')
    got: list[str] = []
    while (message := json.loads(await asyncio.wait_for(socket.recv(), 5)))["type"] != "end":
        got.append(f"{message['type']}{message['n']}")
    return got


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_kth_message_of_a_type_is_left_out(site: Proxy, stream: str, when: str) -> None:
    toxic = {"type": "drop_message", "stream": stream, "attributes": {"type": "chat", "nth": 2}}
    if when == "before":
        site.add_toxic(toxic)
    async with connect(site) as socket:
        if when == "after":
            assert await talk(socket, ["hello"]) == ["hello0"]
            site.add_toxic(toxic)
        got = await talk(socket, ["chat", "tick", "chat", "chat"])
        assert got == ["chat0", "tick1", "chat3"]
    affected = [e.detail for e in site.trace.since() if e.kind == "affected"]
    assert affected == ["drops message 2"]


async def test_removing_it_leaves_the_stream_whole(site: Proxy) -> None:
    async with connect(site) as socket:
        for _ in range(3):
            site.add_toxic({"type": "drop_message", "attributes": {"times": 0}})
            assert await talk(socket, ["a", "b"]) == ["a0", "b1"]
            site.remove_toxic("drop_message_downstream")
            assert await talk(socket, ["a"]) == ["a0"]


async def test_a_reset_in_the_middle_of_a_frame_loses_nothing(site: Proxy) -> None:
    async with connect(site) as socket:
        site.add_toxic({"type": "slicer", "attributes": {"average_size": 1000, "delay": 20_000}})
        site.add_toxic({"type": "drop_message", "attributes": {"times": 0}})
        await socket.send("x" * 50_000)
        (link,) = site.links
        await eventually(lambda: link.down.stages[1].held > 2000)
        site.reset_toxics()
        assert await asyncio.wait_for(socket.recv(), 5) == "x" * 50_000
        assert await talk(socket, ["a"]) == ["a0"]


@pytest.mark.parametrize("query", ["", "?close"])
async def test_an_event_is_left_out_of_an_event_stream(
    site: Proxy, send: asyncio.Queue[str], query: str
) -> None:
    site.add_toxic({"type": "drop_message", "attributes": {"type": "tick", "nth": 2, "times": 2}})
    events = [
        f"event: {kind}\ndata: {n}\n\n" for n, kind in enumerate(["tick", "tick", "log", "tick", "tick"])
    ]
    for event in [*events[:2], ": comment\n\n", *events[2:], ""]:
        send.put_nowait(event)
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://{site.listen}/sse{query}")).text
        again = http.get(f"http://{site.listen}/sse{query}")  # on the same connection, where kept alive
        send.put_nowait("")
        assert (await again).text == ""
    assert text == events[0] + ": comment\n\n" + events[2] + events[4]


@pytest.mark.parametrize(("how", "fraction"), [("rst", 0.5), ("fin", 0.9), ("rst", 0)])
async def test_the_connection_ends_in_the_middle_of_a_frame(site: Proxy, how: str, fraction: float) -> None:
    attributes = {"nth": 2, "how": how, "fraction": fraction}
    async with connect(site) as socket:
        site.add_toxic({"type": "kill_midframe", "attributes": attributes})
        await socket.send("first")
        assert await socket.recv() == "first"
        await socket.send("x" * 50_000)
        with pytest.raises(websockets.ConnectionClosedError) as info:
            await socket.recv()
        assert info.value.rcvd is None
    await eventually(lambda: not site.links)
    events = {e.kind: e for e in site.trace.since()}
    assert events["affected"].detail == f"message 2: {int(50_004 * fraction)} of 50004 bytes"
    assert events["ended"].detail == f"{how}: in mid-frame"
    async with connect(site) as socket:
        await socket.send("alive")
        assert await socket.recv() == "alive"


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "MessagePack"])
async def test_a_message_that_no_decoder_takes_passes(site: Proxy, stream: str, binary: bool) -> None:
    deep = "[" * 5_000 + "]" * 5_000
    payload: str | bytes = b"\x91" * 5_000 + b"\xc0" if binary else f'{{"payload": {deep}}}'
    site.add_toxic({"type": "drop_message", "stream": stream, "attributes": {"type": "chat"}})
    broken = b"\x81\xa4type\xa2\xff\xff" if binary else "1" * 5_000
    async with connect(site) as socket:
        for sent in (payload, broken):
            await socket.send(sent)
            echoed = await asyncio.wait_for(socket.recv(), 5)
            assert echoed in (sent, sent.encode() if isinstance(sent, str) else sent)
        assert await talk(socket, ["chat", "tick"]) == ["tick1"]


async def test_a_content_length_of_many_digits_passes_as_no_http(collection: Collection) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\nbody")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = await collection.create({"name": "odd", "upstream": f"127.0.0.1:{port}"})
    for toxic in ("drop_message", "buffer_response"):
        proxy.add_toxic({"type": toxic})
    reader, writer = await asyncio.open_connection(*proxy.listen.split(":"))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\nbody")
    writer.close()
    server.close()
