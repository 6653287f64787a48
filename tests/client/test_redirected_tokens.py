"""A server that redirects its clients to another origin: their tokens, the later ones too, stay at home."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCSessionDescription
from websockets.asyncio.server import ServerConnection, serve

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.patterns.realtime_client import RealtimeConnection
from rtlab.testing.scripted_http import ScriptedServer, response
from rtlab.webrtc.data_channel_framing_and_pings import DataLink
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection
from tests.memory import FAST, until

WELCOME = {"type": "welcome", "payload": {"session": "s1", "clientId": "c1", "seq": 0}}


@contextlib.asynccontextmanager
async def other_origin(seen: list[object]) -> AsyncIterator[dict[str, str]]:
    """Welcome clients on every transport; yield the URL of each, and keep in `seen` all that clients show."""
    peers: list[LoopbackPeerConnection] = []

    async def on_websocket(ws: ServerConnection) -> None:
        assert ws.request is not None
        seen.append((ws.request.path, list(ws.request.headers.raw_items())))
        await ws.send(json.dumps(WELCOME))
        async for message in ws:
            seen.append(message)  # noqa: PERF401 - each at once

    async def answer(request: Any, writer: asyncio.StreamWriter) -> bool:
        seen.append((request.target, request.headers, request.body))
        if request.path == "/rtc/offer":
            peer = LoopbackPeerConnection()
            peers.append(peer)
            peer.on("datachannel", lambda channel: opened(peer, channel))
            await peer.setRemoteDescription(RTCSessionDescription(json.loads(request.body)["sdp"], "offer"))
            await peer.setLocalDescription()
            body: dict[str, Any] = {"sdp": peer.localDescription.sdp, "type": "answer"}
        elif request.method == "POST":
            body = {"accepted": 1}
        elif request.path == "/sse":
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            writer.write(head + b"data: %b\n\n" % json.dumps(WELCOME).encode())
            await asyncio.Event().wait()
        elif "welcome" in request.query:
            body = {"messages": [WELCOME], "cursor": "s1.1"}
        else:
            await asyncio.Event().wait()
        writer.write(response(200, json.dumps(body).encode(), content_type="application/json"))
        return True

    def opened(peer: LoopbackPeerConnection, channel: Any) -> None:
        DataLink(peer, channel, seen.append, lambda error: None).send(json.dumps(WELCOME))

    async with serve(on_websocket, "127.0.0.1", 0) as sockets, ScriptedServer(answer) as http:
        yield {
            "/ws": f"http://127.0.0.1:{sockets.sockets[0].getsockname()[1]}/elsewhere",
            "/sse": f"{http.url}/sse",
            "/poll": f"{http.url}/poll?welcome=1",
            "/rtc/offer": f"{http.url}/rtc/offer",
        }
    for peer in peers:
        await peer.close()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (WebSocketConnection, "/ws"),
        (ServerSentEvents, "/sse"),
        (LongPolling, "/poll"),
        (WebRTCChannel, ""),
        (RealtimeConnection, ""),
    ],
)
async def test_a_renewed_token_is_not_shown_to_where_a_redirect_led(kind: type[Any], path: str) -> None:
    seen: list[object] = []
    async with other_origin(seen) as urls:
        logins = 0

        async def at_home(request: Any, writer: asyncio.StreamWriter) -> bool:
            nonlocal logins
            if request.path == "/api/auth/ticket":
                body = {"ticket": "SECRET-ticket"}
            elif request.path.startswith("/api/auth/"):
                logins += 1
                body = {"accessToken": f"SECRET{logins}", "refreshToken": "SECRET-r", "expiresIn": 0.5}
            else:
                writer.write(response(307, location=urls[request.path]))
                return True
            writer.write(response(200, json.dumps(body).encode(), content_type="application/json"))
            return True

        async with ScriptedServer(at_home) as home:
            auth = Tokens("ada", "SECRET-password")
            async with kind(home.url + path, auth=auth, backoff=FAST, request_timeout=1.0) as conn:
                await until(lambda: logins == 4)
                assert conn.stats.connects == 1
            assert seen
            assert "SECRET" not in repr(seen)
            shown = [(request.path, request.headers.get("authorization")) for request in home.requests]
            assert "SECRET" in repr(shown), "at home, it proves the user"
