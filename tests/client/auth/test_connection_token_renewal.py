"""The renewal of an access token on an open connection: when it is sent, and to whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rtlab.client.auth import connection_token_renewal, login_and_token_refresh
from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.connection import Connection
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed, NotConnected
from rtlab.lab.lab import Lab
from rtlab.patterns.realtime_client import RealtimeConnection
from rtlab.protocol.urls import parse_url
from rtlab.testing.in_memory.memory_transport import MemoryTransport
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


async def keep_for_five_pauses(
    monkeypatch: pytest.MonkeyPatch,
    ask_for_tokens: Callable[..., Awaitable[dict[str, Any]]],
    pauses: list[float],
    ask: Callable[..., Awaitable[Any]] = lambda *_: asyncio.sleep(0),
) -> None:
    """Log in, then renew until the fifth pause; each pause is 10 s on the tokens' clock."""

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(login_and_token_refresh, "ask_for_tokens", ask_for_tokens)
    monkeypatch.setattr(connection_token_renewal, "asyncio", SimpleNamespace(sleep=sleep))
    auth = Tokens("ada", "pw", clock=lambda: 10.0 * len(pauses))
    home = parse_url("http://127.0.0.1:1")
    await auth.request(home)
    transport = MemoryTransport()
    transport.server_origin = home.origin
    renewal = connection_token_renewal.ConnectionTokenRenewal(auth, ask)
    with pytest.raises(asyncio.CancelledError):
        await renewal.keep(transport)


async def test_a_token_that_lives_for_no_time_is_renewed_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def ask_for_tokens(*_: object, **__: object) -> dict[str, Any]:
        return {"accessToken": "a", "refreshToken": "r", "expiresIn": 0.001}

    await keep_for_five_pauses(monkeypatch, ask_for_tokens, pauses)
    assert min(pauses) >= 0.05


async def test_a_renewal_waits_as_long_as_the_server_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the answer's Retry-After; a second without one."""
    errors = [ConnectFailed("busy", status=429, retry_after=30.0), ConnectFailed("no answer")]
    pauses: list[float] = []

    async def ask_for_tokens(*_: object, **__: object) -> dict[str, Any]:
        if len(pauses) in (1, 3):
            raise errors.pop(0)
        return {"accessToken": "a", "refreshToken": "r", "expiresIn": 10.0}

    await keep_for_five_pauses(monkeypatch, ask_for_tokens, pauses)
    assert (pauses[1], pauses[3]) == (30.0, 1.0)


async def test_a_token_that_was_lost_in_a_move_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stays up, so no attempt will follow that would open with the new token."""
    pauses: list[float] = []
    sent: list[str] = []

    async def ask_for_tokens(*_: object, **__: object) -> dict[str, Any]:
        return {"accessToken": f"token {len(pauses)}", "refreshToken": "r", "expiresIn": 10.0}

    async def ask(kind: str, payload: dict[str, str]) -> None:
        sent.append(payload["token"])
        if len(sent) == 1:
            raise NotConnected("lost in a move")

    await keep_for_five_pauses(monkeypatch, ask_for_tokens, pauses, ask)
    assert sent == ["token 1", "token 1", "token 3", "token 4"]
    assert pauses[1] == 1.0
