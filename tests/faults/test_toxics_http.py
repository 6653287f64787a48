"""The HTTP-aware toxics, against an aiohttp server with a WebSocket and an event stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets
from aiohttp import web

from rtlab.faults.collection import Collection
from rtlab.faults.proxy import Proxy


async def ws(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def sse(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for i in range(5):
        await response.write(b"event: tick\ndata: %d\n\n" % i)
        await asyncio.sleep(0.02)
    await response.write_eof()
    return response


async def plain(request: web.Request) -> web.Response:
    return web.Response(text=(await request.text()) or "plain")


@pytest.fixture
async def site(collection: Collection) -> AsyncIterator[Proxy]:
    app = web.Application()
    app.router.add_get("/ws", ws)
    app.router.add_get("/sse", sse)
    app.router.add_route("*", "/plain", plain)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy = await collection.create({"name": "site", "upstream": f"127.0.0.1:{runner.addresses[0][1]}"})
    yield proxy
    await proxy.stop()
    await runner.cleanup()


async def test_strip_upgrade_fails_the_handshake_and_nothing_else(site: Proxy) -> None:
    site.add_toxic({"type": "strip_upgrade"})
    with pytest.raises(websockets.InvalidStatus) as info:
        await websockets.connect(f"ws://{site.listen}/ws", proxy=None)
    assert info.value.response.status_code == 400
    async with httpx.AsyncClient(trust_env=False) as http:
        for body in ("one", "two"):  # keep-alive: bodies are walked over
            assert (await http.post(f"http://{site.listen}/plain", content=body)).text == body
    site.remove_toxic("strip_upgrade_upstream")
    async with websockets.connect(f"ws://{site.listen}/ws", proxy=None) as socket:
        await socket.send("hi")
        assert await socket.recv() == "hi"
        site.add_toxic({"type": "strip_upgrade"})  # open WebSockets are left alone
        await socket.send("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n")
        assert await socket.recv() == "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n"


async def test_hang_upgrade_never_answers(site: Proxy) -> None:
    site.add_toxic({"type": "hang_upgrade"})
    with pytest.raises(TimeoutError):
        await websockets.connect(f"ws://{site.listen}/ws", proxy=None, open_timeout=0.1)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"http://{site.listen}/plain")).text == "plain"


async def first_event_after(site: Proxy) -> tuple[float, float, str]:
    """Seconds until the head and until the first event, and the whole body."""
    start = time.perf_counter()
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("GET", f"http://{site.listen}/sse") as response,
    ):
        head = time.perf_counter() - start
        pieces = response.aiter_text()
        text = await anext(pieces)
        first = time.perf_counter() - start
        async for piece in pieces:
            text += piece
    return head, first, text


async def test_buffer_response_holds_the_body_until_its_end(site: Proxy) -> None:
    events = "".join(f"event: tick\ndata: {i}\n\n" for i in range(5))
    _, first, text = await first_event_after(site)
    assert (first < 0.08, text) == (True, events)
    site.add_toxic({"type": "buffer_response"})
    head, first, text = await first_event_after(site)
    assert text == events
    assert head < 0.08 < 0.1 <= first
    affected = [e for e in site.trace.since() if e.kind == "affected"]
    assert affected[-1].bytes > 0


async def test_buffer_response_gives_way_to_size_and_time(site: Proxy) -> None:
    site.add_toxic({"type": "buffer_response", "attributes": {"bytes": 30}})
    _, first, _ = await first_event_after(site)
    assert first < 0.09
    site.update_toxic("buffer_response_downstream", {"attributes": {"bytes": 0, "timeout": 30}})
    _, first, _ = await first_event_after(site)
    assert 0.029 < first < 0.09
    site.update_toxic("buffer_response_downstream", {"attributes": {"timeout": 0, "hold_head": True}})
    head, _, _ = await first_event_after(site)
    assert head >= 0.1


async def test_buffer_response_lets_a_websocket_pass(site: Proxy) -> None:
    site.add_toxic({"type": "buffer_response"})
    async with websockets.connect(f"ws://{site.listen}/ws", proxy=None) as socket:
        await socket.send("hi")
        assert await asyncio.wait_for(socket.recv(), 2) == "hi"


async def test_buffer_response_can_begin_in_the_middle_of_a_stream(site: Proxy) -> None:
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("GET", f"http://{site.listen}/sse") as response,
    ):
        pieces = response.aiter_text()
        await anext(pieces)
        start = time.perf_counter()
        site.add_toxic({"type": "buffer_response"})
        await anext(pieces)
        assert time.perf_counter() - start > 0.05
        async for _ in pieces:
            pass


async def test_http_status_answers_n_times_with_retry_after(site: Proxy) -> None:
    site.add_toxic({"type": "http_status", "attributes": {"times": 2, "retry_after": 7, "path": "/plain"}})
    site.add_toxic({"type": "latency", "attributes": {"latency": 20}})
    async with httpx.AsyncClient(trust_env=False) as http:
        answers = [await http.get(f"http://{site.listen}/plain") for _ in range(3)]
    assert [a.status_code for a in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[0].text == "503 from the fault proxy\n"
    assert site.entries[0].used == 2
