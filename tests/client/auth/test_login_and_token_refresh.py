"""Tokens: what they show, to whom, and what they never say."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from rtlab.client.auth import connection_token_renewal
from rtlab.client.auth import login_and_token_refresh as module
from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.transports._abortable_httpcore_sockets import Backend
from rtlab.errors import ConnectFailed
from rtlab.patterns.secure_websocket import SecureWebSocket
from rtlab.protocol.message_format import Message
from rtlab.protocol.urls import parse_url
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer

HERE, THERE = parse_url("ws://127.0.0.1:1/ws"), parse_url("ws://127.0.0.1:2/ws")


class Server:
    """Answers in the place of a server's token requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.errors: list[ConnectFailed] = []
        monkeypatch.setattr(module, "ask_for_tokens", self.ask)

    async def ask(
        self,
        what: str,
        origin: object,
        body: dict[str, str],
        *,
        sending: Callable[[], None] = lambda: None,
        **_: object,
    ) -> dict[str, Any]:
        sending()
        self.asked.append(f"{what} {body.get('refreshToken', '')}".strip())
        if self.errors:
            raise self.errors.pop()
        n = len(self.asked)
        return {"accessToken": f"a{n}", "refreshToken": f"r{n}", "expiresIn": 10.0, "ticket": f"t{n}"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


async def test_it_logs_in_once_and_refreshes_what_has_ended(server: Server) -> None:
    now = 0.0
    auth = Tokens("ada", "pw", way="query", clock=lambda: now)
    assert dict((await auth.opening(HERE)).query) == {"token": "a1"}
    assert dict((await auth.request(HERE.over("http"))).headers) == {"Authorization": "Bearer a1"}
    assert 6.0 <= (auth.renew_in or 0) <= 8.0
    now = 10.0
    await auth.request(HERE)
    assert server.asked == ["token", "refresh r1"]


async def test_a_ticket_is_fetched_for_each_handshake(server: Server) -> None:
    auth = Tokens("ada", "pw")
    shown = [dict((await auth.opening(HERE)).query) for _ in range(2)]
    assert shown == [{"ticket": "t2"}, {"ticket": "t3"}]


async def test_no_other_origin_is_shown_anything(server: Server) -> None:
    auth = Tokens("ada", "pw")
    await auth.opening(HERE)
    with pytest.raises(ConnectFailed, match=r"for http://127\.0\.0\.1:1, and do not go to") as refused:
        await auth.opening(THERE)
    assert not refused.value.retryable
    assert await auth.request(THERE) == ({}, {})


async def test_connections_that_share_tokens_renew_them_once(server: Server) -> None:
    now = 0.0
    auth = Tokens("ada", "pw", clock=lambda: now)
    await auth.request(HERE)
    now = 8.5
    assert [await auth.fresh(), await auth.fresh()] == ["a2", "a2"]
    assert server.asked == ["token", "refresh r1"]


def test_connections_of_a_second_run_renew_them_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 0.0, list[str]()

    async def ask(what: str, *_: object, **__: object) -> dict[str, Any]:
        asked.append(what)
        await asyncio.sleep(0.01)
        return {"accessToken": f"a{len(asked)}", "refreshToken": "r", "expiresIn": 10.0}

    monkeypatch.setattr(module, "ask_for_tokens", ask)
    auth = Tokens("ada", "pw", clock=lambda: now)

    async def run() -> set[str]:
        proofs = await asyncio.gather(*(auth.request(HERE) for _ in range(3)))
        return {proof.headers["Authorization"] for proof in proofs}

    assert asyncio.run(run()) == {"Bearer a1"}
    now = 10.0
    assert asyncio.run(run()) == {"Bearer a2"}
    assert asked == ["token", "refresh"]


async def test_every_renewal_comes_before_its_token_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server's answer to the new token says of its life: with the leeway, here as long again."""
    now, pauses = 0.0, list[float]()
    auth = Tokens("ada", "pw", clock=lambda: now)
    await auth.request(HERE)

    async def sleep(seconds: float) -> None:
        nonlocal now
        pauses.append(seconds)
        now += seconds

    async def ask(kind: str, payload: dict[str, str]) -> Message:
        if len(pauses) == 20:
            raise asyncio.CancelledError  # as when the connection has ended
        return Message("ack", payload={"required": True, "expiresIn": 20.0})

    monkeypatch.setattr(connection_token_renewal, "asyncio", SimpleNamespace(sleep=sleep))
    transport = MemoryTransport()
    transport.server_origin = HERE.origin
    with pytest.raises(asyncio.CancelledError):
        await connection_token_renewal.ConnectionTokenRenewal(auth, ask).keep(transport)
    assert len(pauses) == 20
    assert all(6.0 <= pause <= 8.0 for pause in pauses)


async def test_a_token_lives_from_when_it_was_asked_for(server: Server) -> None:
    """It was made no sooner; and nobody knows for how long its answer was under way."""
    times = iter([0.0, 5.0])
    auth = Tokens("ada", "pw", clock=lambda: next(times))
    await auth.request(HERE)
    assert 1.0 <= (auth.renew_in or 0) <= 3.0


async def test_a_lost_answer_is_asked_for_again_and_a_refusal_is_final(server: Server) -> None:
    auth = Tokens(refresh_token="r0")
    server.errors = [ConnectFailed("no answer")]
    with pytest.raises(ConnectFailed, match="no answer"):
        await auth.request(HERE)
    await auth.request(HERE)
    assert server.asked == ["refresh r0", "refresh r0"]
    server.errors = [ConnectFailed("used", retryable=False, status=401, code="token_reused")]
    with pytest.raises(ConnectFailed, match="used"):
        await auth.renew()
    assert auth.refresh_token is None


async def test_a_renewal_that_is_cancelled_keeps_the_refresh_token_if_there_is_no_login(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is lost during the renewal cancels it: the next one must be able to renew."""
    auth = Tokens(refresh_token="r0")
    with monkeypatch.context() as silent:
        silent.setattr(module, "ask_for_tokens", lambda *_, **__: asyncio.sleep(60))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(auth.request(HERE), 0.01)
    await auth.request(HERE)
    assert server.asked == ["refresh r0"]


@pytest.mark.parametrize(
    ("cancelled", "status"), [(False, None), (False, 500), (False, 504), (False, 524), (True, None)]
)
async def test_a_spent_refresh_token_is_not_sent_again_if_there_is_a_login(
    server: Server, monkeypatch: pytest.MonkeyPatch, *, cancelled: bool, status: int | None
) -> None:
    """The server may have got it: it takes a repeat for a theft, and revokes the whole login."""
    used: set[str] = set()

    async def ask(what: str, origin: object, body: dict[str, str], **more: Any) -> dict[str, Any]:
        if what == "refresh":
            more["sending"]()
            if body["refreshToken"] in used:
                raise ConnectFailed("used", retryable=False, status=401, code="token_reused")
            used.add(body["refreshToken"])
            if cancelled:
                await asyncio.sleep(60)
            raise ConnectFailed("the answer was lost", status=status)
        return await server.ask(what, origin, body)

    monkeypatch.setattr(module, "ask_for_tokens", ask)
    auth = Tokens("ada", "pw", refresh_token="r0")
    with pytest.raises(TimeoutError if cancelled else ConnectFailed):
        await asyncio.wait_for(auth.request(HERE), 0.01 if cancelled else 10)
    await auth.request(HERE)
    assert (server.asked, used) == (["token"], {"r0"})


@pytest.mark.parametrize("login", [(), ("ada", "pw")], ids=["without a login", "with one"])
@pytest.mark.parametrize("status", [200, 301, 302, 308, 407, 408, 429, 503, 511])
async def test_a_refresh_token_that_was_turned_away_is_kept(
    server: Server, login: tuple[str, ...], status: int
) -> None:
    """Whoever answered (a captive portal, a moved host, a proxy, a full server) has not used it."""
    auth = Tokens(*login, refresh_token="r0")
    server.errors = [ConnectFailed("turned away", retryable=status not in (301, 308), status=status)]
    with pytest.raises(ConnectFailed, match="turned away"):
        await auth.request(HERE)
    await auth.request(HERE)
    assert server.asked == ["refresh r0", "refresh r0"]


@pytest.mark.parametrize(("login", "kept"), [((), "r0"), (("ada", "pw"), None)])
@pytest.mark.parametrize("status", [204, 400, 403, 404])
async def test_after_an_answer_that_does_not_tell_a_login_replaces_the_refresh_token(
    server: Server, login: tuple[str, ...], kept: str | None, status: int
) -> None:
    auth = Tokens(*login, refresh_token="r0")
    server.errors = [ConnectFailed("odd", retryable=False, status=status)]
    with pytest.raises(ConnectFailed, match="odd"):
        await auth.request(HERE)
    assert auth.refresh_token == kept


async def test_a_refresh_token_that_was_never_sent_is_kept() -> None:
    """After an outage, the clients need not all log in with their passwords."""
    auth = Tokens("ada", "pw", refresh_token="r0")
    with pytest.raises(ConnectFailed, match="nothing listens"):
        await auth.request(HERE)
    assert auth.refresh_token == "r0"


@pytest.mark.parametrize("login", [(), ("ada", "pw")], ids=["without a login", "with one"])
async def test_a_refresh_token_is_kept_if_the_attempt_ends_before_the_connection_opens(
    login: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that drops SYNs: the attempt's own timeout began earlier than that of its connect."""
    monkeypatch.setattr(Backend, "_connect", lambda *_: asyncio.sleep(60))
    auth = Tokens(*login, refresh_token="r0")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(auth.request(HERE), 0.01)
    assert auth.refresh_token == "r0"


@pytest.mark.parametrize(("login", "kept"), [((), "r0"), (("ada", "pw"), None)])
async def test_a_refresh_token_whose_answer_never_came_is_kept_only_without_a_login(
    login: tuple[str, ...], kept: str | None
) -> None:
    async def hang_up(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with ScriptedServer(hang_up) as server:
        auth = Tokens(*login, refresh_token="r0")
        with pytest.raises(ConnectFailed, match="no answer"):
            await auth.request(parse_url(server.url))
    assert auth.refresh_token == kept


@pytest.mark.parametrize(
    "seconds", [0, -5, 1e15, 10**400, None, "10", True], ids=lambda seconds: f"{seconds!r:.9}"
)
async def test_a_lifetime_that_is_none_counts_as_a_minute(
    seconds: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object, **__: object) -> dict[str, object]:
        return {"accessToken": "a", "refreshToken": "r", "expiresIn": seconds}

    monkeypatch.setattr(module, "ask_for_tokens", ask)
    auth = Tokens("ada", "pw", clock=lambda: 0.0)
    await auth.request(HERE)
    assert 36.0 <= (auth.renew_in or 0) <= 48.0


@pytest.mark.parametrize("ticket", [None, 5])
async def test_an_answer_without_a_ticket_is_refused(ticket: object, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(*_: object, **__: object) -> dict[str, object]:
        return {"accessToken": "a", "ticket": ticket}

    monkeypatch.setattr(module, "ask_for_tokens", ask)
    with pytest.raises(ConnectFailed, match="expected a ticket"):
        await Tokens(access_token="a").opening(HERE)


async def test_the_password_helps_when_the_server_has_forgotten_the_refresh_token(server: Server) -> None:
    auth = Tokens("ada", "pw", refresh_token="old")
    server.errors = [ConnectFailed("unknown", retryable=False, status=401, code="bad_refresh_token")]
    await auth.request(HERE)
    assert server.asked == ["refresh old", "token"]


def test_a_given_token_says_how_long_it_lives() -> None:
    import time

    token = jwt.encode({"exp": time.time() + 100}, "k" * 32, "HS256")
    assert 55 <= (Tokens(access_token=token, refresh_token="r").renew_in or 0) <= 81
    for odd in ("opaque", "a.b.c", jwt.encode({"exp": 1}, "k" * 32, "HS256")):
        assert (Tokens(access_token=odd, refresh_token="r").renew_in or 0) == 0
        assert Tokens(access_token=odd).renew_in is None
    assert Tokens(access_token=_claiming("true"), refresh_token="r").renew_in is None
    assert (Tokens(access_token=_claiming(f"1{'0' * 400}"), refresh_token="r").renew_in or 0) > 1e8


def _claiming(exp: str) -> str:
    claims = base64.urlsafe_b64encode(f'{{"exp":{exp}}}'.encode()).decode()
    return f"a.{claims}.c"


def test_no_repr_shows_a_secret() -> None:
    auth = Tokens("ada", "s3cret", access_token="s3cret", refresh_token="s3cret")
    conn = SecureWebSocket("ws://127.0.0.1:1/ws", auth=auth)
    assert "s3cret" not in f"{auth!r} {conn!r} {conn.auth!r}"


@pytest.mark.parametrize("options", [{}, {"user": "ada"}, {"access_token": "a", "way": "cookie"}])
def test_half_of_it_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Tokens(**options)
    with pytest.raises(ValueError, match="not both"):
        SecureWebSocket("ws://h/ws", "t", auth=Tokens(access_token="a"))
