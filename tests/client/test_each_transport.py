"""What holds for a connection over each of the four transports, over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, cast

import pytest
from aiortc import RTCSessionDescription

from rtlab.client.client_factory_by_transport import make_client
from rtlab.client.connection import Connection, State
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.protocol.websocket_handshake import accept_of
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from rtlab.testing.scripted_http import ScriptedServer, response
from rtlab.webrtc.data_channel_framing_and_pings import HIGH_WATER_BYTES, DataLink
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection
from tests.memory import leftovers

KINDS = {
    "websocket": WebSocketConnection,
    "sse": ServerSentEvents,
    "longpoll": LongPolling,
    "webrtc": WebRTCChannel,
}
WELCOME = {"type": "welcome", "payload": {"session": "s1", "clientId": "c1", "seq": 0}}


@contextlib.asynccontextmanager
async def reading_nothing() -> AsyncIterator[str]:
    """Serve all transports: welcome every client, and never read what it sends."""
    peers: list[LoopbackPeerConnection] = []
    links: list[DataLink] = []

    async def answer(request: Any, writer: asyncio.StreamWriter) -> bool:
        if request.path == "/ws":
            accept = accept_of(request.headers["sec-websocket-key"].decode())
            writer.write(
                b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept.encode()
            )
            cast("Any", writer.transport).pause_reading()
        elif request.path == "/sse":
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            writer.write(head + b"data: %b\n\n" % json.dumps(WELCOME).encode())
        elif request.path == "/poll" and "welcome" in request.query:
            body = json.dumps({"messages": [WELCOME], "cursor": "s1.1"}).encode()
            writer.write(response(200, body, content_type="application/json"))
            return True
        elif request.path == "/rtc/offer":
            peer = LoopbackPeerConnection()
            peers.append(peer)
            peer.on("datachannel", lambda channel: opened(peer, channel))
            await peer.setRemoteDescription(RTCSessionDescription(json.loads(request.body)["sdp"], "offer"))
            await peer.setLocalDescription()
            answer = {"sdp": peer.localDescription.sdp, "type": "answer"}
            writer.write(response(200, json.dumps(answer).encode(), content_type="application/json"))
            return True
        await writer.drain()
        await asyncio.Event().wait()
        return False

    def opened(peer: LoopbackPeerConnection, channel: Any) -> None:
        link = DataLink(peer, channel, lambda frame: None, lambda error: None)
        links.append(link)
        link.send(json.dumps(WELCOME))
        asyncio.get_running_loop().call_later(0.2, link.pause)  # after the welcome has been acknowledged

    async with ScriptedServer(answer) as server:
        yield server.url
    for link in links:
        link.resume()
    for peer in peers:
        await peer.close()


async def fill(conn: Connection) -> None:
    """Send until a write waits."""

    async def one() -> None:
        async with asyncio.timeout(0.5):
            await conn.send("fill", "x" * 50_000)

    async def many() -> None:
        for _ in range(20 * HIGH_WATER_BYTES // 50_000):
            await one()

    with pytest.raises(TimeoutError):
        await many()
    assert conn.state is State.CONNECTED


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_the_timeout_of_a_request_counts_while_its_write_waits(name: str) -> None:
    """A peer that reads nothing: the write of the request ends with its timeout, and harms nothing else."""
    async with reading_nothing() as url:
        path = "" if name == "webrtc" else {"websocket": "/ws", "sse": "/sse", "longpoll": "/poll"}[name]
        options: dict[str, Any] = {"send_timeout": 60.0} if name == "websocket" else {}
        conn = KINDS[name](url + path, max_reconnect_attempts=0, request_timeout=0.3, **options)
        ends: list[object] = []
        conn.on("disconnected", ends.append)
        await conn.connect()
        if name in ("websocket", "webrtc"):
            await fill(conn)
        async with asyncio.timeout(20):
            for _ in range(2):
                with pytest.raises(TimeoutError, match="no answer to 'echo' within"):
                    await conn.request("echo", "x", timeout=0.3)
            with pytest.raises(TimeoutError):
                await conn.join_room("lobby")
            with pytest.raises(TimeoutError):
                await conn.drain(0.3)
        assert conn.state is State.CONNECTED
        assert ends == []
        await conn.close()


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_a_thousand_requests_at_once_are_all_answered(name: str) -> None:
    """The answers are a burst, but their reader asked for them: its queue at the server does not overflow."""
    server = Server(Node(Options(token="", stop_window=0.0)), "127.0.0.1", 0)
    await server.start()
    try:
        async with make_client(name, f"http://127.0.0.1:{server.port}", request_timeout=60.0) as conn:
            ends: list[object] = []
            conn.on("disconnected", ends.append)
            asked = (conn.request("echo", [n, "x" * 2_000]) for n in range(1_000))
            answers = await asyncio.gather(*asked)
            assert [answer.payload[0] for answer in answers] == list(range(1_000))
            assert ends == []
        assert not any(server.node.overflow.counts.values())
    finally:
        await server.stop()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Run a server on a loop of its own, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def there(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def made() -> None:
        nonlocal server
        server = Server(Node(Options(token="", stop_window=0.0)), "127.0.0.1", 0)
        await server.start()

    server: Server = cast("Server", None)
    there(made())
    yield f"http://127.0.0.1:{server.port}"
    there(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_connection_may_be_carried_to_a_second_run(name: str, elsewhere: str) -> None:
    """The first `asyncio.run` ends without a close, as in a script with two of them."""
    conn = make_client(name, elsewhere)
    got: list[object] = []

    async def first() -> None:
        async with asyncio.timeout(20):
            await conn.connect()
            await conn.join_room("lobby")
            got.append((await conn.request("echo", 1)).payload)

    async def second() -> None:
        async with asyncio.timeout(20):
            await conn.connect()
            got.append((await conn.request("echo", 2)).payload)
            await conn.close()
        assert leftovers() == []

    asyncio.run(first())
    assert conn.state is State.DISCONNECTED
    asyncio.run(second())
    assert got == [1, 2]
    assert conn.state is State.CLOSED
