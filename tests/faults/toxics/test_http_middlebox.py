"""The HTTP-aware toxics, against an aiohttp server with a WebSocket and an event stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets
from aiohttp import web

from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.proxy.proxy_collection import Collection
from tests.faults.conftest import eventually


async def ws(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def sse(request: web.Request) -> web.StreamResponse:
    """Three events; the last one, and the end, wait until /release was asked for."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for i in range(2):
        await response.write(b"data: %d\n\n" % i)
    await request.app[RELEASE].wait()
    request.app[RELEASE].clear()
    await response.write(b"data: 2\n\n")
    await response.write_eof()
    return response


EVENTS = "data: 0\n\ndata: 1\n\ndata: 2\n\n"
RELEASE = web.AppKey("release", asyncio.Event)
SEEN = web.AppKey("seen", list[str])


async def plain(request: web.Request) -> web.Response:
    text = await request.text()
    request.app[SEEN].append(text)
    return web.Response(text=text or "plain")


@pytest.fixture
def seen() -> list[str]:
    """The bodies of the requests for /plain."""
    return []


@pytest.fixture
def release() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def site(collection: Collection, release: asyncio.Event, seen: list[str]) -> AsyncIterator[Proxy]:
    app = web.Application()
    app[SEEN] = seen
    app[RELEASE] = release
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


async def test_a_duplicated_request_is_seen_twice_and_answered_once(site: Proxy, seen: list[str]) -> None:
    site.add_toxic({"type": "duplicate_request", "attributes": {"path": "/plain"}})
    async with httpx.AsyncClient(trust_env=False) as http:
        for body in ("one", "two"):
            assert (await http.post(f"http://{site.listen}/plain", content=body)).text == body
        assert (await http.get(f"http://{site.listen}/plain")).text == "plain"
        await eventually(lambda: len(seen) == 5)
    assert sorted(seen) == ["", "one", "one", "two", "two"]
    async with websockets.connect(f"ws://{site.listen}/ws", proxy=None) as socket:
        await socket.send("hi")
        assert await socket.recv() == "hi"


async def test_strip_upgrade_takes_hop_by_hop_fields_only(proxy: Proxy, dial) -> None:
    """The upstream echoes, so what comes back is what it saw."""
    proxy.add_toxic({"type": "strip_upgrade"})
    reader, writer = await dial()
    rest = b"Host: x\r\nSec-WebSocket-Key: k\r\n"
    for part in (
        b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n",
        rest,
        b"Connection: x-y, Upgrade\r\n",
        b"\r\n",
    ):
        writer.write(part)
        await writer.drain()
    want = b"GET /ws HTTP/1.1\r\n" + rest + b"Connection: x-y\r\n\r\n"
    assert await asyncio.wait_for(reader.readexactly(len(want)), 5) == want


async def test_hang_upgrade_never_answers(site: Proxy) -> None:
    site.add_toxic({"type": "hang_upgrade"})
    with pytest.raises(TimeoutError):
        await websockets.connect(f"ws://{site.listen}/ws", proxy=None, open_timeout=0.1)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"http://{site.listen}/plain")).text == "plain"


class Reader:
    """Reads the event stream through the proxy, and says what has come."""

    def __init__(self, proxy: Proxy) -> None:
        self.url = f"http://{proxy.listen}/sse"
        self.head = asyncio.Event()
        self.text = ""

    async def run(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", self.url) as response:
            self.head.set()
            async for piece in response.aiter_text():
                self.text += piece

    async def __aenter__(self) -> Reader:
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.wait_for(self.task, 5)


async def test_without_a_toxic_events_come_as_they_are_sent(site: Proxy, release: asyncio.Event) -> None:
    async with Reader(site) as reader:
        await eventually(lambda: "data: 1" in reader.text)
        assert reader.text != EVENTS
        release.set()
    assert reader.text == EVENTS


@pytest.mark.parametrize("hold_head", [False, True])
async def test_buffer_response_holds_the_body_until_its_end(
    site: Proxy, release: asyncio.Event, hold_head: bool
) -> None:
    site.add_toxic({"type": "buffer_response", "attributes": {"hold_head": hold_head}})
    async with Reader(site) as reader:
        await eventually(lambda: any(t.down.held > 20 for t in site.links))
        if not hold_head:
            await asyncio.wait_for(reader.head.wait(), 5)
        await asyncio.sleep(0.02)
        assert (reader.head.is_set(), reader.text) == (not hold_head, "")
        release.set()
    assert reader.text == EVENTS
    assert [e.kind for e in site.trace.since() if e.bytes and e.kind == "affected"]


@pytest.mark.parametrize("attributes", [{"bytes": 20}, {"timeout": 30}])
async def test_buffer_response_gives_way_to_size_and_time(
    site: Proxy, release: asyncio.Event, attributes: dict[str, int]
) -> None:
    site.add_toxic({"type": "buffer_response", "attributes": attributes})
    start = time.perf_counter()
    async with Reader(site) as reader:
        await eventually(lambda: "data: 1" in reader.text)
        assert time.perf_counter() - start >= attributes.get("timeout", 0) / 1000
        release.set()
    assert reader.text == EVENTS


async def test_buffer_response_can_begin_in_the_middle_and_end_early(
    site: Proxy, release: asyncio.Event
) -> None:
    async with Reader(site) as reader:
        await eventually(lambda: "data: 1" in reader.text)
        site.add_toxic({"type": "buffer_response", "attributes": {"bytes": 1000}})
        release.set()
    assert reader.text == EVENTS  # its end was recognised


async def test_buffer_response_lets_a_websocket_pass(site: Proxy) -> None:
    site.add_toxic({"type": "buffer_response"})
    async with websockets.connect(f"ws://{site.listen}/ws", proxy=None) as socket:
        await socket.send("hi")
        assert await asyncio.wait_for(socket.recv(), 10) == "hi"


async def test_http_status_answers_n_times_with_retry_after(site: Proxy) -> None:
    site.add_toxic({"type": "http_status", "attributes": {"times": 2, "retry_after": 7, "path": "/plain"}})
    site.add_toxic({"type": "latency", "attributes": {"latency": 20}})
    async with httpx.AsyncClient(trust_env=False) as http:
        answers = [await http.get(f"http://{site.listen}/plain") for _ in range(3)]
    assert [a.status_code for a in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[0].text == "503 from the fault proxy\n"
    assert site.entries[0].used == 2
