"""Chromium's own RTCPeerConnection against the server: what a page has to do, and that it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioice.ice import get_host_addresses

from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.notebook.run_notebook_in_headless_jupyterlab import FLAGS, chromium
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from rtlab.server.stats_report import read_stats

CHROMIUM = chromium()

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"),
]

ARGS = [*FLAGS]
#: Chromium needs no flag to reach 127.0.0.1, as long as there is any network interface.
#: With loopback alone it has nothing to gather on, and needs both of these.
ONLY_LOOPBACK = not get_host_addresses(use_ipv4=True, use_ipv6=False)
if ONLY_LOOPBACK:
    ARGS += ["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"]

#: All that a page needs: a channel, one POST, and the answer.
PAGE = """
async (clientId) => {
  const peer = new RTCPeerConnection();
  const channel = peer.createDataChannel('page');
  const seen = window.seen = [];
  const opened = new Promise((done, fail) => {
    channel.onmessage = (event) => {
      if (typeof event.data !== 'string') return;        // control frames: a page may ignore them
      const message = JSON.parse(event.data);
      seen.push(message);
      if (message.type === 'welcome') done(message.payload);
    };
    setTimeout(() => fail(new Error('no welcome: ' + peer.iceConnectionState)), 8000);
  });
  await peer.setLocalDescription();
  await new Promise((done) => {
    if (peer.iceGatheringState === 'complete') done();
    peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done();
    setTimeout(done, 500);                                 // candidates are not needed
  });
  const response = await fetch('/rtc/offer?clientId=' + clientId, {
    method: 'POST', body: JSON.stringify(peer.localDescription),
  });
  if (!response.ok) throw new Error(await response.text());
  await peer.setRemoteDescription(await response.json());
  const welcome = await opened;
  window.peer = peer; window.channel = channel;
  return {welcome, offer: peer.localDescription.sdp};
}
"""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(Node(Options(token="t", stop_window=0.0)))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def page(server: Server) -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{server.port}/")
        yield page
        await browser.close()


async def until_seen(page: Any, kind: str) -> Any:
    find = f"() => window.seen.find((m) => m.type === '{kind}')"
    handle = await page.wait_for_function(find)
    return await handle.json_value()


async def test_a_page_joins_a_room_and_talks_with_a_python_client(server: Server, page: Any) -> None:
    found = await page.evaluate(PAGE, "browser")
    candidates = [line for line in found["offer"].splitlines() if "candidate:" in line]
    # Chromium hides its addresses behind mDNS names: the server never resolves them.
    assert ONLY_LOOPBACK or all(".local " in line for line in candidates), candidates
    assert found["welcome"]["clientId"] == "browser"
    async with WebRTCChannel(f"http://127.0.0.1:{server.port}") as conn:
        await conn.join_room("r")
        got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        conn.on("chat", lambda message: got.done() or got.set_result(message))
        await page.evaluate(
            """() => { for (const m of [
                {type: 'join_room', payload: {roomId: 'r'}, id: '1'},
                {type: 'chat', roomId: 'r', payload: 'from the page', id: '2'},
            ]) window.channel.send(JSON.stringify(m)) }"""
        )
        message = await asyncio.wait_for(got, 5)
        assert (message.payload, message.client_id, message.offset) == ("from the page", "browser", 1)
        await conn.send("news", {"n": 1}, room_id="r")
        news = await until_seen(page, "news")
        assert (news["payload"], news["offset"]) == ({"n": 1}, 2)
        # 200 KB in one message, there and back.
        size = await page.evaluate(
            """() => new Promise((done) => {
                window.channel.addEventListener('message', (event) => {
                    const m = typeof event.data === 'string' ? JSON.parse(event.data) : {};
                    if (m.id === 'big') done(m.payload.length);
                });
                window.channel.send(JSON.stringify({type: 'echo', id: 'big', payload: 'x'.repeat(200000)}));
            })"""
        )
        assert size == 200_000


@pytest.mark.parametrize("how", ["() => window.peer.close()", "() => window.channel.close()"])
async def test_a_page_that_closes_is_noticed_at_once(server: Server, page: Any, how: str) -> None:
    await page.evaluate(PAGE, "browser")
    assert read_stats(server.node)["connections"]["webrtc"] == 1
    await page.evaluate(how)
    async with asyncio.timeout(60):
        while read_stats(server.node)["connections"]["webrtc"]:
            await asyncio.sleep(0.01)
