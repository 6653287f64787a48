"""A client comes back with a token that has ended: renewed where it can be, and a final error where not.

What goes wrong elsewhere: the token of the first connection is shown again at every attempt, for hours
(dsrees/JavaPhoenixClient#82, braverhealth/phoenix-socket-dart#97, engram-app/Engram#1018); or a client whose
clock stood still, or that was never told how long its token lives, believes in it and asks nobody
(ably/ably-java#470, moozzyk/SignalR-Client-Swift#125); or two requests renew it twice (aspnet/SignalR#2151).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.client_factory_by_transport import make_client
from rtlab.errors import ConnectFailed
from rtlab.experiments.security.login_and_message_attacks import PASSWORDS
from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.auth.access_token_signing_and_checks import LEEWAY
from rtlab.server.node import Node
from rtlab.server.server_options import Options

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Seconds that access tokens live here, on a clock that only the tests move.
TTL = 300.0


class Lab:
    """A server whose tokens end when a test says so: none ends while a slow machine still connects."""

    def __init__(self) -> None:
        self._now = time.time()
        options = Options(token="t", security="right", token_ttl=TTL, stop_window=0.0)
        self.server = Server(Node(options, wall_clock=lambda: self._now))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def end_tokens(self) -> None:
        """Let every access token end that was given out until now."""
        self._now += TTL + LEEWAY


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    await lab.server.start()
    yield lab
    await lab.server.stop()


def unaware(lab: Lab, **changes: Any) -> Tokens:
    """Tokens of a client to which they seem to live for ever: nobody said, or its machine slept."""
    authority = lab.server.node.authority
    assert authority is not None
    pair = authority.log_in("bob", PASSWORDS["bob"])
    auth = Tokens(**{"access_token": pair.access_token, "refresh_token": pair.refresh_token} | changes)
    auth._ends = auth._renew_at = math.inf
    return auth


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_that_does_not_know_its_token_ends_renews_its_token_and_comes_back(
    lab: Lab, transport: str
) -> None:
    auth = unaware(lab)
    first = auth.access_token
    async with make_client(
        transport, lab.url, auth=auth, reconnect_interval=0.01, max_reconnect_attempts=20
    ) as conn:
        await conn.join_room("lobby")
        lab.end_tokens()
        async with asyncio.timeout(20):
            while conn.stats.connects < 2:
                await asyncio.sleep(0.01)
            await conn.request("chat", {"text": "still here"}, room_id="lobby")
    assert auth.access_token != first


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_first_connection_with_a_token_that_has_ended_renews_it(lab: Lab, transport: str) -> None:
    auth = unaware(lab)
    lab.end_tokens()
    async with make_client(transport, lab.url, auth=auth, max_reconnect_attempts=1) as conn:
        await conn.request("echo", 1)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("refresh_token", [None, "unknown"])
async def test_who_has_nothing_to_renew_it_with_is_told_and_does_not_try_again(
    lab: Lab, transport: str, refresh_token: str | None
) -> None:
    auth = unaware(lab, refresh_token=refresh_token)
    async with make_client(
        transport, lab.url, auth=auth, reconnect_interval=0.01, max_reconnect_attempts=20
    ) as conn:
        attempts: list[object] = []
        conn.on("reconnecting", attempts.append)
        lab.end_tokens()
        async with asyncio.timeout(20):
            while conn.state.value != "Disconnected":
                await asyncio.sleep(0.01)
    assert len(attempts) <= 2  # one that finds out, and one for a connection that a last ticket opened
    with pytest.raises(ConnectFailed) as refused:
        await make_client(transport, lab.url, auth=auth).connect()
    assert not refused.value.retryable
    assert refused.value.code == ("token_expired" if auth.refresh_token is None else "bad_refresh_token")
