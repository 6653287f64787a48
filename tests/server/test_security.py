"""``security="right"`` over real sockets: the same answers whatever carries the messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.client_factory_by_transport import make_client
from rtlab.client.connection import Connection
from rtlab.errors import ConnectFailed, RequestRefused
from rtlab.experiments.security.login_and_message_attacks import log_in
from rtlab.lab.lab import Lab
from rtlab.patterns.realtime_client import RealtimeClient
from rtlab.patterns.secure_websocket import SecureWebSocket
from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.server.auth.users import DEMO_USERS

pytestmark = pytest.mark.asyncio(loop_scope="module")


def tokens(user: str = "bob", **options: Any) -> Tokens:
    return Tokens(user, DEMO_USERS[user][0], **options)


def client(lab: Lab, transport: str, user: str = "bob", **options: Any) -> Connection:
    return make_client(transport, lab.url, auth=options.pop("auth", None) or tokens(user), **options)


async def admin(lab: Lab, path: str, **body: Any) -> Any:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {lab.token}"}) as http:
        answer = await (http.post(lab.url + path, json=body) if body else http.get(lab.url + path))
    return answer.raise_for_status().json()


class Ended:
    """Notes how a connection ends, and what it was told before."""

    def __init__(self, conn: Connection) -> None:
        self._over = asyncio.Event()
        self.told: list[str] = []
        conn.on("error", lambda event: self.told.append(event.code))
        conn.on("disconnected", self._end)

    def _end(self, event: Any) -> None:
        self.code, self.again = event.code, event.will_reconnect
        self._over.set()

    async def wait(self) -> None:
        async with asyncio.timeout(8):
            await self._over.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab(security="right") as lab:
        yield lab


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unhurried() -> AsyncIterator[Lab]:
    """Where tokens end soon, yet are used in time on a machine that is busy for a second."""
    async with Lab(security="right", token_ttl=3) as lab:
        yield lab


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nobody_gets_in_without_credentials(lab: Lab, transport: str) -> None:
    with pytest.raises(ConnectFailed, match="401") as refused:
        await make_client(transport, lab.url).connect()
    assert not refused.value.retryable
    with pytest.raises(ConnectFailed, match=r"name or the password is wrong") as refused:
        await make_client(transport, lab.url, auth=Tokens("bob", "s3cret")).connect()
    assert not refused.value.retryable
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_rights_hold_alone_and_in_a_batch(lab: Lab, transport: str) -> None:
    async with client(lab, transport) as conn:
        await conn.join_room("lobby")
        await conn.request("chat", {"text": "hi"}, room_id="lobby")
        for room_id in ("staff", "../lobby", "lobby\u202e", "a b"):
            with pytest.raises(RequestRefused):
                await conn.join_room(room_id)
        ack = await conn.request("batch", [{"type": "join_room", "payload": {"roomId": "staff"}}])
        assert ack.payload["results"][0]["error"]["code"] == "forbidden"
    async with client(lab, transport, "eve") as conn:
        await conn.join_room("lobby")
        with pytest.raises(RequestRefused, match="may not publish"):
            await conn.request("chat", {"text": "hi"}, room_id="lobby")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_revoked_login_ends_the_open_connection_for_good(lab: Lab, transport: str) -> None:
    async with client(lab, transport, "eve", reconnect_interval=0.01, max_reconnect_attempts=5) as conn:
        end, moment = Ended(conn), asyncio.Event()
        conn.on("disconnected", lambda event: moment.set() if not event.will_reconnect else None)
        assert (await admin(lab, "/api/auth/revoke", user="eve"))["logins"] >= 1
        await end.wait()
        if transport == "sse":  # no close code: the error says it, the next attempt hears it again
            assert "revoked" in end.told
            async with asyncio.timeout(5):
                while conn.state.value != "Disconnected":
                    await asyncio.sleep(0.01)
        else:
            assert not end.again


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_token_is_renewed_without_disconnecting(unhurried: Lab, transport: str) -> None:
    auth = tokens()
    async with client(unhurried, transport, auth=auth) as conn:
        end, first = Ended(conn), auth.access_token
        async with asyncio.timeout(60):
            while conn.stats.connects == 1 and (auth.access_token == first or (auth.renew_in or 0) > 0.2):
                await asyncio.sleep(0.02)
        assert auth.access_token != first
        await conn.request("echo", 1)
        assert (conn.stats.connects, conn.stats.disconnects, end.told) == (1, 0, [])


@pytest.mark.parametrize("transport", ["websocket", "sse", "longpoll", "webrtc"])
async def test_an_expired_token_ends_the_open_connection_until_there_is_another(
    unhurried: Lab, transport: str
) -> None:
    """The client has nothing to renew it with."""
    async with httpx.AsyncClient() as http:
        login = {"user": "bob", "password": DEMO_USERS["bob"][0]}
        answer = await http.post(f"{unhurried.url}/api/auth/token", json=login)
    auth = Tokens(access_token=answer.json()["accessToken"])
    async with client(unhurried, transport, auth=auth, max_reconnect_attempts=1) as conn:
        end = Ended(conn)
        await end.wait()
        if transport == "sse":  # no close code: the error says it
            assert "token_expired" in end.told
        else:
            assert (end.code, end.again) == (4001, True)


async def test_a_ticket_opens_one_connection_and_the_url_holds_no_token(lab: Lab) -> None:
    auth = tokens()
    async with client(lab, "websocket", auth=auth):
        pass
    log = [line for line in await admin(lab, "/log") if "/ws" in line]
    assert "ticket=***" in log[-1]
    assert not any(str(auth.access_token) in line for line in log)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {auth.access_token}"}) as http:
        ticket = (await http.post(f"{lab.url}/api/auth/ticket")).json()
        assert ticket.get("error", {}).get("code") == "wrong_type" or ticket["ticket"]
    for way, works in (("ticket", True), ("header", True), ("query", False)):
        conn = client(lab, "websocket", auth=tokens(way=way))
        if works:
            async with conn:
                continue
        with pytest.raises(ConnectFailed, match="401") as refused:
            await conn.connect()
        assert "eyJ" not in str(refused.value)


async def test_tokens_never_go_to_another_origin(lab: Lab, unhurried: Lab) -> None:
    auth = tokens()
    for transport in TRANSPORTS:
        async with client(lab, transport, auth=auth):
            pass
        with pytest.raises(ConnectFailed, match=r"do not go to|401"):
            await client(unhurried, transport, auth=auth).connect()


async def test_a_fallback_client_proves_itself_on_what_it_finds(lab: Lab) -> None:
    for transports in (("websocket",), ("sse", "longpoll")):
        async with await RealtimeClient.connect(lab.url, transports=transports, auth=tokens()) as conn:
            await conn.join_room("lobby")


async def test_a_session_is_nothing_to_another_user(lab: Lab) -> None:
    async with client(lab, "sse", "ada") as conn:
        assert conn.welcome is not None
        session = conn.welcome.payload["session"]
        other = tokens("bob")
        async with client(lab, "sse", auth=other):
            pass
        async with httpx.AsyncClient() as http:
            answers = [
                await http.post(
                    f"{lab.url}/send", params={"session": session}, json={"type": "ping"}, headers=headers
                )
                for headers in ({}, {"Authorization": f"Bearer {other.access_token}"})
            ]
        assert [answer.status_code for answer in answers] == [401, 404]


async def test_a_refresh_token_used_twice_ends_the_connection(lab: Lab) -> None:
    auth = tokens("ada")
    async with client(lab, "websocket", auth=auth) as conn:
        end, stolen = Ended(conn), auth.refresh_token
        async with httpx.AsyncClient() as http:
            url = f"{lab.url}/api/auth/refresh"
            assert (await http.post(url, json={"refreshToken": stolen})).status_code == 200
            again = await http.post(url, json={"refreshToken": stolen})
        assert (again.status_code, again.json()["error"]["code"]) == (401, "token_reused")
        await end.wait()
        assert (end.code, end.again) == (4501, False)


async def test_one_user_or_one_address_has_so_many_connections() -> None:
    async with Lab(security="right", max_per_user=1, max_per_address=2) as small:
        auth = tokens("bob")
        async with client(small, "websocket", auth=auth), client(small, "sse", "ada"):
            for transport, user in (("longpoll", "bob"), ("websocket", "eve")):
                with pytest.raises(ConnectFailed, match=r"at most [12] connections of one") as refused:
                    await client(small, transport, user).connect()
                assert (refused.value.status, refused.value.retry_after) == (429, 5.0)


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("token", b'{"user":"ada","password":"x"}', "text/plain", 415),
        ("token", b'{"user":"ada"}', "application/json", 400),
        ("token", b"{", "application/json", 400),
        ("token", b'"' + b"x" * 9000 + b'"', "application/json", 413),
        ("refresh", b'{"refreshToken":"x"}', "application/json", 401),
        ("refresh", b'{"refreshToken":5}', "application/json", 400),
        ("ticket", b"{}", "application/json", 401),
        ("revoke", b'{"user":"ada"}', "application/json", 401),
        ("rotate", b"{}", "application/json", 401),
    ],
)
async def test_bad_requests_are_told_so(lab: Lab, path: str, body: bytes, kind: str, status: int) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{lab.url}/api/auth/{path}", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text


async def test_two_connections_with_one_pair_of_tokens_refresh_it_once(lab: Lab) -> None:
    pair = await log_in(lab, "ada")
    # Neither has an access token: both have to refresh, and a refresh token is good once.
    both = [SecureWebSocket(lab.ws_url, None, pair["refreshToken"]) for _ in range(2)]
    async with asyncio.timeout(20):
        await asyncio.gather(*(conn.connect() for conn in both))
    assert both[0].auth.refresh_token not in (None, pair["refreshToken"])
    for conn in both:
        await conn.close()


async def test_whose_roles_are_taken_away_is_told_so_in_time() -> None:
    async with Lab(security="right", revalidate=0.2) as lab, client(lab, "websocket") as conn:
        ended = Ended(conn)
        for wrong in ({"user": "bob", "roles": ["emperor"]}, {"user": "nobody", "roles": ["staff"]}):
            with pytest.raises(httpx.HTTPStatusError, match=r"400|404"):
                await admin(lab, "/api/auth/roles", **wrong)
        await admin(lab, "/api/auth/roles", user="bob", roles=[])
        await ended.wait()
        assert (ended.code, ended.again) == (4501, False)
