"""Attacks with forged logins and hostile messages: each is a function that returns how far the attack got.

They succeed against ``Lab(security="naive")`` and fail against ``Lab(security="right")``. Nothing
leaves this machine: the lab listens on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Origin

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import RequestRefused, RtlabError, describe
from rtlab.lab.lab import Lab
from rtlab.protocol.urls import parse_url

__all__ = [
    "Flood",
    "LogLeak",
    "StolenRefresh",
    "call_by_name",
    "double_key",
    "flood_at_boundary",
    "forge_token",
    "hear_staff",
    "log_in",
    "opens",
    "origins_admitted",
    "read_log",
    "refresh",
    "replay_ticket",
    "reuse_refresh_token",
    "token_from_log",
]

#: The lab's demonstration users; see `rtlab.server.auth.users`.
PASSWORDS: Final = {"ada": "analytical engine", "bob": "builder", "eve": "eavesdropper"}

#: Timeout in seconds for each request and each attack.
PATIENCE: Final = 10.0


class Flood(NamedTuple):
    """How many messages of a flood a server accepted.

    Parameters
    ----------
    taken : int
        Messages that the server handled.
    sent : int
        Messages that the attacker sent.
    seconds : float
        Seconds from just before the first message was sent until the last one was answered, so an upper
        bound on the time over which the server received them.
    """

    taken: int
    sent: int
    seconds: float

    def above(self, rate: float, burst: float) -> float:
        """Return by how many messages ``burst + rate · seconds`` was exceeded; negative if the limit held."""
        return self.taken - burst - rate * self.seconds


class LogLeak(NamedTuple):
    """What an attacker gained by reading an access log.

    Parameters
    ----------
    line : str
        The victim's handshake as it appears in the log, with long values shortened.
    admitted : int
        Whether the reader of the log could connect as the victim: 1 or 0.
    """

    line: str
    admitted: int


class StolenRefresh(NamedTuple):
    """What happens when a thief and the owner use the same refresh token.

    Parameters
    ----------
    story : list of (str, str)
        Who (``"thief"`` or ``"owner"``) used which token, and what the server answered.
    thief_lives, owner_lives : int
        Whether thief and owner still got new tokens at their last attempt: 1 or 0.
    closed_with : int
        The close code of the owner's connection; 0 if the server left it open.
    """

    story: list[tuple[str, str]]
    thief_lives: int
    owner_lives: int
    closed_with: int


async def log_in(lab: Lab, user: str) -> dict[str, Any]:
    """Return the answer to a login of a demonstration user: ``accessToken`` and ``refreshToken``."""
    return (await _post(lab, "token", {"user": user, "password": PASSWORDS[user]})).raise_for_status().json()


async def refresh(lab: Lab, token: str) -> httpx.Response:
    """Ask for new tokens with a refresh token; return the server's answer."""
    return await _post(lab, "refresh", {"refreshToken": token})


async def read_log(lab: Lab) -> list[str]:
    """Return the server's access log, read with the operator's token."""
    async with _http(lab) as http:
        answer = await http.get(f"{lab.url}/log", headers={"Authorization": f"Bearer {lab.token}"})
    return answer.raise_for_status().json()


async def token_from_log(lab: Lab, way: Literal["query", "ticket"]) -> LogLeak:
    """Let Ada connect, read the access log, and try to connect with the credentials found in it.

    Parameters
    ----------
    lab : Lab
        Naive or right.
    way : {"query", "ticket"}
        How Ada's handshake proves who she is.
    """
    async with WebSocketConnection(lab.ws_url, auth=Tokens("ada", PASSWORDS["ada"], way=way)):
        line = [line for line in await read_log(lab) if "GET /ws" in line][-1]
    found = re.search(r"(token|ticket)=([^&\" ]+)", line)
    secret = found[0] if found else ""
    return LogLeak(re.sub(r"(=[\w-]{12})[\w.-]+", r"\1…", line), await opens(f"{lab.ws_url}?{secret}"))


async def forge_token(lab: Lab, user: str = "ada") -> int:
    """Try to connect with an unsigned token (``alg: none``); return 1 if the server accepts it."""
    token = jwt.encode({"sub": user, "roles": ["staff"]}, "", "none")
    return await opens(lab.ws_url, {"Authorization": f"Bearer {token}"})


async def replay_ticket(lab: Lab) -> int:
    """Use the ticket from the URL of Ada's handshake a second time; return 1 if the server accepts it."""
    proof = await Tokens("ada", PASSWORDS["ada"]).opening(parse_url(lab.ws_url))
    first, second = [await opens(f"{lab.ws_url}?ticket={proof.query['ticket']}") for _ in range(2)]
    if not first:
        raise RtlabError("expected a fresh ticket to open a connection, and it did not")
    return second


async def hear_staff(lab: Lab, room_id: str) -> str:
    """Let Eve, a guest, join a room by a crafted name; then let Ada write in the staff room.

    Parameters
    ----------
    lab : Lab
        Naive or right.
    room_id : str
        The room that Eve asks to join, such as ``"lobby/../staff"``.

    Returns
    -------
    str
        The message that Eve received, or the error code with which the server refused her.
    """
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    eve = WebSocketConnection(lab.ws_url, auth=Tokens("eve", PASSWORDS["eve"]), max_reconnect_attempts=0)
    ada = WebSocketConnection(lab.ws_url, auth=Tokens("ada", PASSWORDS["ada"]))
    eve.on("chat", lambda message: heard.done() or heard.set_result(str(message.payload["text"])))
    async with asyncio.timeout(PATIENCE), eve:
        try:
            await eve.request("join_room", {"roomId": room_id})
        except RequestRefused as error:
            return error.code
        async with ada:
            await ada.request("join_room", {"roomId": "staff"})
            await ada.request("chat", {"text": "the key is under the mat"}, room_id="staff")
            return await heard


async def call_by_name(lab: Lab, name: str, user: str = "eve") -> str:
    """Send a message whose type names an attribute that no client should reach, such as ``__class__``.

    Returns
    -------
    str
        The payload of the server's answer, or the error code with which it refused.
    """
    async with WebSocketConnection(lab.ws_url, auth=Tokens(user, PASSWORDS[user])) as conn:
        try:
            return str((await conn.request(name)).payload)
        except RequestRefused as error:
            return error.code


async def origins_admitted(lab: Lab, allowed: str = "") -> dict[str, int]:
    """Connect with origins that resemble the lab's own; return origin → admitted, 1 or 0.

    The first origin is the lab's own, which must be admitted; all others are foreign.

    Parameters
    ----------
    lab : Lab
        Naive or right.
    allowed : str
        An origin that the lab was configured to admit, such as ``"http://lab.example"``. Look-alikes of
        it are tried too: with a prefix, with a suffix, as a subdomain, and with the other scheme.
    """
    port = urlsplit(lab.url).port
    token = (await log_in(lab, "ada"))["accessToken"]
    origins = {
        "http://127.0.0.1:PORT": "the lab's own page",
        "null": "a sandboxed frame, or a file",
        "http://127.0.0.1.evil.example": "a name that begins right",
        "http://localhost.evil.example": "another",
        "http://127.0.0.1:PORT@evil.example": "a user in front of the host",
        "http://127.0.0.1:OTHER": "another port of this machine",
    }
    if allowed:
        scheme, _, host = allowed.partition("://")
        origins |= {
            f"{allowed}.evil.example": "the allowed name, and more",
            f"{scheme}://evil-{host}": "more, and the allowed name",
            f"{scheme}://evil.{host}": "a subdomain, perhaps a stranger's",
            f"{'http' if scheme == 'https' else 'https'}://{host}": "the other scheme",
        }
    headers = {"Authorization": f"Bearer {token}"}
    return {
        origin: await opens(
            lab.ws_url, headers, origin=origin.replace("PORT", str(port)).replace("OTHER", "1")
        )
        for origin in origins
    }


async def double_key(lab: Lab) -> int | str:
    """Send an order that has the key ``quantity`` twice, first with 1 and then with 1000.

    Returns
    -------
    int or str
        The quantity that the room received, or the error code with which the server refused.
    """
    token = (await log_in(lab, "bob"))["accessToken"]
    order = '{"type":"order","id":"1","roomId":"shop","payload":{"item":"tea","quantity":1,"quantity":1000}}'
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(PATIENCE), connect(lab.ws_url, additional_headers=headers, proxy=None) as ws:
        await ws.send('{"type":"join_room","id":"0","payload":{"roomId":"shop"}}')
        await ws.send(order)
        while True:
            message = msgspec.json.decode(await ws.recv())
            if message["type"] == "order":
                return int(message["payload"]["quantity"])
            if message["type"] == "error":
                return str(message["payload"]["code"])


async def flood_at_boundary(lab: Lab, burst: int = 150) -> Flood:
    """Send two bursts, one just before and one just after a full second on the server's clock.

    Parameters
    ----------
    lab : Lab
        A lab on this machine, so that attacker and server read the same monotonic clock.
    burst : int
        Messages in each burst. The batch message that carries them counts as one more.
    """
    taken, began = 0, None
    items = [{"type": "pong"}] * burst
    async with asyncio.timeout(PATIENCE), WebSocketConnection(lab.ws_url, auth=_bob()) as conn:
        for phase in (0.90, 0.04):
            await asyncio.sleep((phase - time.monotonic()) % 1.0)
            began = began or time.monotonic()
            try:
                answer = await conn.request("batch", items)
            except RequestRefused:
                continue
            taken += 1 + sum(result["ok"] for result in answer.payload["results"])
        assert began is not None
        return Flood(taken, 2 * (1 + burst), time.monotonic() - began)


async def reuse_refresh_token(lab: Lab) -> StolenRefresh:
    """Let a thief use a copy of Bob's refresh token first, and then Bob use the same token."""
    mine = await log_in(lab, "bob")
    story: list[tuple[str, str]] = []
    closed = asyncio.get_running_loop().create_future()

    async def ask(who: str, name: str, token: str) -> str:
        answer = await refresh(lab, token)
        ok = answer.status_code == 200
        story.append((who, f"{name}: {'new tokens' if ok else answer.json()['error']['code']}"))
        return str(answer.json()["refreshToken"]) if ok else token

    def name_of(token: str) -> str:
        return "the same token, again" if token == mine["refreshToken"] else "the newest token"

    auth = Tokens(access_token=mine["accessToken"])
    async with WebSocketConnection(lab.ws_url, auth=auth, max_reconnect_attempts=0) as conn:
        conn.on("disconnected", lambda event: closed.done() or closed.set_result(event.code))
        theirs = await ask("thief", "the stolen token", mine["refreshToken"])
        ours = await ask("owner", "the same token", mine["refreshToken"])
        await ask("thief", name_of(theirs), theirs)
        await ask("owner", name_of(ours), ours)
        await asyncio.wait((closed,), timeout=2.0)  # the server checks tokens every 0.25 s
        code = closed.result() if closed.done() else 0
    lives = [int(answer.endswith("new tokens")) for _, answer in story[-2:]]
    return StolenRefresh(story, lives[0], lives[1], code)


def _bob() -> Tokens:
    return Tokens("bob", PASSWORDS["bob"])


def _http(lab: Lab) -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=PATIENCE, verify=True if lab.ssl is None else lab.ssl)


async def _post(lab: Lab, what: str, body: dict[str, str]) -> httpx.Response:
    async with _http(lab) as http:
        return await http.post(f"{lab.url}/api/auth/{what}", json=body)


async def opens(url: str, headers: dict[str, str] | None = None, origin: str | None = None) -> int:
    """Attempt a WebSocket handshake; return 1 if it succeeds, 0 if the server answers 401 or 403.

    Parameters
    ----------
    url : str
        ``ws://…``.
    headers : dict, optional
        Additional headers of the handshake.
    origin : str, optional
        The ``Origin`` header that a browser would add. None sends none.

    Raises
    ------
    RtlabError
        For every other answer, and for none: an attack on a server that is not there has not failed.
    """
    given = Origin(origin) if origin is not None else None
    try:
        async with (
            asyncio.timeout(PATIENCE),
            connect(url, additional_headers=headers, origin=given, proxy=None) as ws,
        ):
            await ws.recv()
            return 1
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            return 0
        raise RtlabError(f"expected 101, 401 or 403, got {status}: see `lab.check()`") from error
    except (OSError, WebSocketException) as error:
        raise RtlabError(f"expected 101, 401 or 403, got {describe(error)}: see `lab.check()`") from error
