"""``rtlab bench security``: what each check costs, and what a slow-loris attack costs honest clients.

One server, in which a check is switched off and on between slices of the same bytes on the same
connection (`rtlab.bench.server_with_check_switch`). Rates are messages per second of the server's CPU time,
so that other load on the machine changes them little.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec
import numpy as np

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import RtlabError
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import (
    new_key,
    raw_frame,
    request_head,
    upgrade_fields,
)
from rtlab.experiments.endpoint.timed_connect_steps import Wire, dial
from rtlab.experiments.security.login_and_message_attacks import PASSWORDS
from rtlab.lab.lab_options_as_server_arguments import ServerOptions, as_arguments
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.processes.start_child_process import Child
from rtlab.protocol.urls import parse_url
from rtlab.protocol.websocket_framing import PING, PONG, TEXT

__all__ = ["run"]

#: Pairs of readings, after one pair that warms up.
REPEATS: Final = 21
#: Pairs of slices, with a check and without, and the messages in a slice. Slices are short, so that other
#: load affects both of a pair alike: on a busy machine 100 pairs have an interval of ± 3 %, 400 of ± 1.5 %.
SLICES: Final = 401
MESSAGES: Final = 1_000
#: Messages in one write, as from a client that is faster than the server.
PIECE: Final = 250
START_TIMEOUT: Final = 30.0
#: Seconds for one reading, on a busy machine.
PATIENCE: Final = 120.0
#: Seconds that the rest of a feed may take to arrive; what is still missing then is counted as lost.
ARRIVAL: Final = 30.0
#: Half-open handshakes that are held while an honest client measures its round trips, and their number.
LORIS: Final = 1_000
ECHOES: Final = 1_000
#: Token refreshes on one connection, messages per second of its feed, and the network's round trip in ms.
REFRESHES: Final = 12
FEED_RATE: Final = 200
RTT_MS: Final = 50.0

#: A rate limit so high that the benchmark never reaches it.
_UNLIMITED: Final = "connection messages 100000000 100000000"
_FOUR: Final = [
    *(_UNLIMITED.replace("connection", scope) for scope in ("connection", "user", "room")),
    "address bytes 100000000000 100000000000",
]
_LINE: Final = (
    b'{"type":"chat","roomId":"lobby","payload":{"text":"a line of a chat, neither short nor long"}}'
)


@asynccontextmanager
async def _sender(ws_url: str, token: str | None) -> AsyncGenerator[Wire]:
    """Open a bare WebSocket that has joined a room."""
    url = parse_url(ws_url)
    fields = upgrade_fields(new_key()) | ({} if token is None else {"Authorization": f"Bearer {token}"})
    async with await dial(url, timeout=PATIENCE) as wire:
        await wire.send(request_head(url, fields))
        await wire.head()
        await wire.send(raw_frame(TEXT, b'{"type":"join_room","roomId":"lobby"}'))
        yield wire


async def _rate(pid: int, wire: Wire, messages: int, checked: bool) -> float:
    """Return how many messages the server handles per second of its CPU time, with a check or without."""
    await wire.send(raw_frame(TEXT, b'{"type":"switch","payload":%b}' % (b"true" if checked else b"false")))
    await _handled(wire, lambda: wire.send(raw_frame(PING, b"switched")))
    pieces = max(1, messages // PIECE)
    piece = raw_frame(TEXT, _LINE) * PIECE

    async def send() -> None:
        for _ in range(pieces):
            await wire.send(piece)
        await wire.send(raw_frame(PING, b"all"))

    before = cpu_seconds(pid)
    await _handled(wire, send)
    return pieces * PIECE / (cpu_seconds(pid) - before)


async def _handled(wire: Wire, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Send messages that end with a ping, and read until its pong: then the server has handled them all."""
    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(PATIENCE):
            while (frame := await wire.frame()) is not None and frame.opcode != PONG:
                continue
            if frame is None:
                raise RtlabError("the server ended the connection that measures it")
            await sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


#: Row → the metric, the check to switch, the options of a server with it, and the least ratio.
_CHECKS: Final[dict[str, tuple[str, str, dict[str, Any], float | None]]] = {
    "validation": ("handled, validated by schema", "validation", {"schemas": "default"}, 0.85),
    "keys": (
        "handled, and keys looked at twice",
        "keys",
        {"schemas": "default", "strict_keys": True},
        None,
    ),
    "limit": ("handled, one rate limit", "limits", {"rate_limit": _UNLIMITED}, 0.95),
    "limits": ("handled, four rate limits", "limits", {"rate_limit": _FOUR}, None),
    "authorisation": (
        "handled, authorised by room",
        "authorisation",
        {"security": "right", "rate_limit": _UNLIMITED, "token_ttl": 3600},
        0.97,
    ),
    "frames": ("handled, behind the strict frames", "frames", {}, 0.9),
}


async def _check(row: str, repeats: int, messages: int) -> Result:
    """Compare a server's rate with a check and without."""
    metric, check, options, least = _CHECKS[row]
    arguments = as_arguments(cast("ServerOptions", {"heartbeat": 3600.0} | options))
    child = Child.module(
        f"server that switches its {check}",
        "rtlab.bench.server_with_check_switch",
        *("--switch", check, "--port", "0"),
        *arguments,
        token=secrets.token_urlsafe(16),
    )
    ours: list[float] = []
    theirs: list[float] = []
    try:
        url = f"ws://127.0.0.1:{await child.announced(START_TIMEOUT)}/ws"
        auth = Tokens("ada", PASSWORDS["ada"])
        if "security" in options:
            await auth.opening(parse_url(url))
        async with _sender(url, auth.access_token) as wire:
            for turn in range(repeats + 1):
                for checked in (True, False) if turn % 2 else (False, True):
                    found = await _rate(child.pid, wire, messages, checked)
                    if turn:
                        (ours if checked else theirs).append(found)
    finally:
        await child.stop(5.0)
    found = Result.paired("security", metric, ours, "msg/CPU s", "without", theirs)
    return msgspec.structs.replace(found, at_least=least)


async def _refreshes(start_lab: StartLab, repeats: int) -> list[Result]:
    """Refresh the token of a connection with a feed; count losses, and time the refreshes."""
    lab = await start_lab(security="right", faults=True, rate_limit=_UNLIMITED, heartbeat=3600.0)
    try:
        auth = Tokens("ada", PASSWORDS["ada"])
        came: list[int] = []
        async with (
            asyncio.timeout(PATIENCE),
            lab.faults.rtt(RTT_MS),
            WebSocketConnection(lab.faults.ws_url, auth=auth) as conn,
        ):
            conn.on("feed", lambda message: came.append(message.payload["n"]))
            count = int(FEED_RATE * RTT_MS / 1000 * 8 * repeats)
            await conn.request("feed", {"rate": FEED_RATE, "count": count, "size": 16})
            takes: list[float] = []
            echoes: list[float] = []
            for _ in range(repeats):
                token = await auth.renew()
                takes.append(await _timed(lambda: conn.request("auth", {"token": token})))  # noqa: B023
                echoes.append(await _timed(lambda: conn.request("echo", 0)))
            with suppress(TimeoutError):
                async with asyncio.timeout(ARRIVAL):
                    while len(set(came)) < count:
                        await asyncio.sleep(0.02)
            lost = count - len(set(came)) + max(0, conn.stats.disconnects)
    finally:
        await lab.stop()
    row = Result.paired("security", "a new token shown", takes, "s", "one round trip", echoes)
    return [
        msgspec.structs.replace(
            Result.of("security", "messages and connections lost", [float(lost)], ""), at_most=0.0
        ),
        msgspec.structs.replace(row, at_most=1.1),
    ]


async def _timed(ask: Callable[[], Any]) -> float:
    start = time.perf_counter()
    await ask()
    return time.perf_counter() - start


async def _slow_loris(start_lab: StartLab, repeats: int, count: int, echoes: int) -> Result:
    """Measure an honest client's round trips with half-open handshakes beside it, and without."""
    lab = await start_lab(header_timeout=600.0, heartbeat=3600.0)
    port = urlsplit(lab.url).port
    p99: tuple[list[float], list[float]] = ([], [])
    try:
        async with WebSocketConnection(lab.ws_url) as conn:
            for turn in range(repeats + 1):
                for which in (0, 1) if turn % 2 else (1, 0):
                    held: list[asyncio.StreamWriter] = []
                    try:
                        for _ in range(count if which == 0 else 0):
                            _, writer = await asyncio.open_connection("127.0.0.1", port)
                            writer.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n")
                            held.append(writer)
                        trips = [await _timed(lambda: conn.request("echo", 0)) for _ in range(echoes)]
                    finally:
                        for writer in held:
                            writer.transport.abort()
                    if turn:
                        p99[which].append(float(np.percentile(trips, 99)) * 1e3)
    finally:
        await lab.stop()
    metric = f"others' round trip p99 beside {count:,} half handshakes"
    row = Result.paired("security", metric, p99[0], "ms", "none", p99[1])
    return msgspec.structs.replace(row, at_most=1.2)


async def run(start_lab: StartLab, *, tiny: bool = False, only: str | None = None) -> list[Result]:
    """Measure validation, limits, authorisation, strict frames, refreshes and a slow loris.

    Parameters
    ----------
    start_lab : StartLab
        Starts each server.
    tiny : bool
        Whether to run with counts so small that they only show that the benchmark runs.
    only : str, optional
        The one row to measure; all by default.

    Returns
    -------
    list of Result
        Ratios, with their 95 % intervals over the pairs.

    Raises
    ------
    RtlabError
        If there is no such row.
    """
    raise_nofile()
    rows = (*_CHECKS, "refresh", "loris")
    if only not in (None, *rows):
        raise RtlabError(f"expected a row out of {', '.join(rows)}, got {only!r:.40}")
    repeats, slices, loris, echoes = (1, 1, 20, 100) if tiny else (REPEATS, SLICES, LORIS, ECHOES)
    results: list[Result] = []
    for row in rows if only is None else (only,):
        if row == "refresh":
            results += await _refreshes(start_lab, 2 if tiny else REFRESHES)
        elif row == "loris":
            results.append(await _slow_loris(start_lab, repeats, loris, echoes))
        else:
            results.append(await _check(row, slices, MESSAGES))
    return results
