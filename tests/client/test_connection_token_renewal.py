"""The renewal of an access token on an open connection: when it is sent, and to whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from rtlab.client.connection import Connection
from rtlab.client.long_polling import LongPolling
from rtlab.client.server_sent_events import ServerSentEvents
from rtlab.client.tokens import Tokens
from rtlab.client.webrtc_channel import WebRTCChannel
from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from rtlab.patterns.realtime_client import RealtimeConnection
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

CONNECTIONS: dict[str, tuple[Callable[..., Connection], str]] = {
    "websocket": (WebSocketConnection, "/ws"),
    "sse": (ServerSentEvents, "/sse"),
    "longpoll": (LongPolling, "/poll"),
    "webrtc": (WebRTCChannel, "/rtc/offer"),
    "realtime": (RealtimeConnection, ""),
}


MINE = ("client", "message")


@pytest.mark.parametrize("name", list(CONNECTIONS))
async def test_a_new_token_goes_to_the_origin_of_the_tokens_only(name: str) -> None:
    """A redirect may lead to another origin: the server there gets no token in a message either."""
    renewals = 0

    async def home(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        nonlocal renewals
        if "ticket" in request.path:
            answer: dict[str, Any] = {"ticket": "once"}
        elif "auth" in request.path:
            renewals += 1
            answer = {"accessToken": f"secret {renewals}", "refreshToken": "r", "expiresIn": 0.3}
        else:
            writer.write(response(307, location=f"{lab.url}{request.path}"))
            return True
        writer.write(response(200, json.dumps(answer).encode(), content_type="application/json"))
        return True

    async with Lab() as lab, ScriptedServer(home) as server, asyncio.timeout(20):
        make, path = CONNECTIONS[name]
        conn = make(server.url + path, auth=Tokens("ada", "pw"), max_reconnect_attempts=0)
        shown: list[str] = []
        conn.watch_wire(lambda *told: shown.append(told[2].type) if told[:2] == MINE else None)
        async with conn:
            while renewals < 4:
                await asyncio.sleep(0.01)
            assert (await conn.request("echo", 1)).payload == 1
        assert shown == ["echo"]
