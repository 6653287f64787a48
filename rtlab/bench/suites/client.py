"""``rtlab bench client``: what `WebSocketConnection` costs more than the bare library.

One server, JSON at both ends, no compression. Both clients take turns, so that
other load on the machine affects both alike.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from rtlab.bench.peers.peer_servers import PeerServer
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message

__all__ = ["run"]

REPEATS: Final = 11
ROUND_TRIPS: Final = 2_000
PIPELINED: Final = 20_000
TIMEOUT: Final = 60.0

_Measure = Callable[[], Awaitable[float]]


async def _alternate(measures: list[_Measure]) -> list[list[float]]:
    """Run each measurement REPEATS times, in turns, after one round that does not count."""
    values: list[list[float]] = [[] for _ in measures]
    for turn in range(REPEATS + 1):
        for index, measure in enumerate(measures):
            async with asyncio.timeout(TIMEOUT):
                value = await measure()
            if turn:
                values[index].append(value)
    return values


async def _round_trips(conn: WebSocketConnection, ws: ClientConnection) -> tuple[list[float], list[float]]:
    """Return the median round trip of each repeat, ours and the library's, in µs."""

    async def ours(n: int) -> None:
        await conn.request("echo", n)

    async def bare(n: int) -> None:
        await ws.send(json.dumps({"type": "echo", "payload": n, "id": str(n)}))
        json.loads(await ws.recv())

    medians: tuple[list[float], list[float]] = ([], [])
    for turn in range(REPEATS + 1):
        times: tuple[list[float], list[float]] = ([], [])
        for n in range(ROUND_TRIPS):
            # One of each in turn, so that other load on the machine affects both alike.
            for once, taken in zip((ours, bare), times, strict=True):
                began = time.perf_counter()
                await once(n)
                taken.append(time.perf_counter() - began)
        if turn:
            for taken, kept in zip(times, medians, strict=True):
                kept.append(statistics.median(taken) * 1e6)
    return medians


def _bare_pipeline(ws: ClientConnection) -> _Measure:
    async def run() -> float:
        async def write() -> None:
            for n in range(PIPELINED):
                await ws.send(json.dumps({"type": "echo", "payload": n}))

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            for _ in range(PIPELINED):
                json.loads(await ws.recv())
        return PIPELINED / (time.perf_counter() - began)

    return run


class _Countdown:
    """Sets `done` after PIPELINED messages."""

    def __init__(self) -> None:
        self.left = PIPELINED
        self.done = asyncio.Event()

    def __call__(self, _: object) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()


def _our_pipeline(conn: WebSocketConnection) -> _Measure:
    async def run() -> float:
        countdown = _Countdown()
        conn.on("echo", countdown)
        began = time.perf_counter()
        for n in range(PIPELINED):
            await conn.send("echo", n)
        await countdown.done.wait()
        conn.off("echo", countdown)
        return PIPELINED / (time.perf_counter() - began)

    return run


def _socketio_pipeline(client: Any) -> _Measure:
    async def run() -> float:
        countdown = _Countdown()
        client.on("echo", countdown)
        began = time.perf_counter()
        for n in range(PIPELINED):
            await client.emit("echo", n)
        await countdown.done.wait()
        return PIPELINED / (time.perf_counter() - began)

    return run


async def run(start_lab: StartLab) -> list[Result]:
    """Compare round trips and pipelined throughput.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server both clients talk to.

    Returns
    -------
    list of Result
        Round trip beside bare websockets; throughput beside bare websockets and
        python-socketio's client (with its own server, because the protocol differs).

    Raises
    ------
    LabError
        When python-socketio is missing.
    """
    try:
        import socketio  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise LabError("python-socketio is missing: pip install -e '.[test]' brings it") from None
    lab = await start_lab()
    peer = await PeerServer.start("socketio")
    client: Any = socketio.AsyncClient()
    try:
        await client.connect(peer.url, transports=["websocket"])
        async with (
            WebSocketConnection(lab.ws_url, compression=None) as conn,
            connect(
                lab.ws_url,
                subprotocols=[Subprotocol(JSON.subprotocol)],
                compression=None,
                ping_interval=None,
                proxy=None,
            ) as ws,
        ):
            assert JSON.decode(await ws.recv()).type == Message("welcome").type
            async with asyncio.timeout(TIMEOUT):
                ours, bare = await _round_trips(conn, ws)
            our_rate, bare_rate, socketio_rate = await _alternate(
                [_our_pipeline(conn), _bare_pipeline(ws), _socketio_pipeline(client)]
            )
    finally:
        await client.disconnect()
        await peer.stop()
        await lab.stop()
    return [
        Result.paired("client", "round trip p50", ours, "µs", "websockets", bare),
        Result.paired("client", "pipelined throughput", our_rate, "msg/s", "websockets", bare_rate),
        Result.of("client", "pipelined throughput", our_rate, "msg/s", "python-socketio", socketio_rate),
    ]
