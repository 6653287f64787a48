"""A browser's own WebSocket and EventSource against the lab, on a page that the lab serves.

Its RTCPeerConnection is tried in `tests/server/test_rtc_browser.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from tests.browser.lab import open_page

pytestmark = pytest.mark.timeout(120)

WEBSOCKET = """
async (room) => {
  const socket = new WebSocket(`ws://${location.host}/ws?clientId=page`, ["rtlab.v1.json"]);
  window.seen = [];
  await new Promise((joined, failed) => {
    socket.onerror = failed;
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      seen.push(message);
      if (message.type === "welcome")
        socket.send(JSON.stringify({ type: "join_room", id: "j", payload: { roomId: room } }));
      if (message.type === "ack" && message.id === "j") joined();
    };
  });
  window.socket = socket;
}
"""

EVENT_SOURCE = """
async (room) => {
  window.seen = [];
  const source = new EventSource(`/sse?room=${room}&clientId=page`);
  source.addEventListener("chat", ({ data }) => seen.push(JSON.parse(data).payload));
  await new Promise((opened) => source.addEventListener("welcome", opened));
  window.source = source;
}
"""

#: Opens n streams of one origin, and tells which have said hello after a while.
STREAMS = """
async (n) => {
  window.streams = [];
  const opened = Array(n).fill(false);
  for (let i = 0; i < n; i++) {
    const source = new EventSource(`/sse?clientId=tab${i}`);
    source.addEventListener("welcome", () => (opened[i] = true));
    streams.push(source);
  }
  const soon = (test) => new Promise((done) => {
    const started = performance.now();
    const look = () => (test() || performance.now() - started > 30_000 ? done() : setTimeout(look, 20));
    look();
  });
  await soon(() => opened.filter(Boolean).length >= Math.min(n, 6));
  const before = [...opened];
  await new Promise((done) => setTimeout(done, 500));     // the seventh has every chance
  const stuck = [...opened];
  streams[0].close();
  await soon(() => opened.every(Boolean));
  return { before, stuck, after: opened };
}
"""


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True) as running:
        yield running


@pytest.fixture
async def page(lab: Lab, browser: Browser) -> AsyncIterator[Page]:
    async with open_page(browser) as opened:
        await opened.goto(lab.faults.url)
        yield opened


async def test_the_pages_websocket_and_a_python_client_talk(lab: Lab, page: Page) -> None:
    await page.evaluate(WEBSOCKET, "r")
    async with WebSocketConnection(lab.ws_url) as conn:
        await conn.join_room("r")
        heard = asyncio.get_running_loop().create_future()
        conn.on("chat", lambda m: m.client_id == "page" and heard.set_result(m))
        await conn.send("chat", "from Python", room_id="r")
        await page.wait_for_function("seen.some((m) => m.payload === 'from Python')")
        await page.evaluate(
            "socket.send(JSON.stringify({type: 'chat', roomId: 'r', payload: 'from the page'}))"
        )
        async with asyncio.timeout(60):
            assert (await heard).payload == "from the page"
        await page.wait_for_function("seen.some((m) => m.payload === 'from the page')")  # its own, too
        offsets = await page.evaluate("seen.filter((m) => m.type === 'chat').map((m) => m.offset)")
        assert offsets == [1, 2]


async def test_the_pages_event_source_resumes_after_a_cut(lab: Lab, page: Page) -> None:
    await page.evaluate(EVENT_SOURCE, "r")
    async with WebSocketConnection(lab.ws_url) as conn:
        await conn.join_room("r")
        for n in range(5):
            await conn.send("chat", n, room_id="r")
        await page.wait_for_function("seen.length === 5")
        async with lab.faults.down():
            await page.wait_for_function("source.readyState === EventSource.CONNECTING")
            for n in range(5, 10):
                await conn.request("chat", n, room_id="r")
        await page.wait_for_function("seen.length >= 10")
        assert await page.evaluate("seen") == list(range(10))


async def test_the_seventh_stream_of_one_origin_hangs_until_another_is_closed(page: Page) -> None:
    """HTTP/1.1: Chromium opens six connections to a host, for all tabs together."""
    found = await page.evaluate(STREAMS, 7)
    assert found["before"] == [True] * 6 + [False]
    assert found["stuck"] == [True] * 6 + [False]
    assert found["after"] == [True] * 7


async def test_a_page_of_another_origin_is_refused(lab: Lab, page: Page) -> None:
    """The page came through the proxy, so to the server itself it is a stranger."""
    refused = await page.evaluate(
        """async (url) => new Promise((done) => {
            const socket = new WebSocket(url);
            socket.onopen = () => done("open");
            socket.onclose = (event) => done(event.code);
        })""",
        lab.ws_url,
    )
    assert refused == 1006
