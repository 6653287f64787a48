"""``rtlab bench hooks``: a component under a fast feed beside a bare callback, and many on one socket."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUntypedFunctionDecorator=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import reacton
import reacton.ipywidgets

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.capture.tcp_tap import Tap, TappedConnection
from rtlab.capture.traffic_parser import frames
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.hooks.shared_connections import hooks_settled, open_links
from rtlab.hooks.use_websocket import use_websocket
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping
from rtlab.protocol.message_format import Message
from rtlab.protocol.websocket_framing import PING, PONG

__all__ = ["run"]

REPEATS: Final = 3
RATE: Final = 20_000
MESSAGES: Final = 100_000
COMPONENTS: Final = 50
STEPS: Final = 400
#: Seconds between the pings of the heartbeat on the shared socket.
BEAT: Final = 0.05
TIMEOUT: Final = 60.0


async def _component(url: str) -> tuple[int, float, float]:
    """Return messages lost, renders per second, and CPU seconds of one feed into a component."""
    numbers: list[int] = []
    renders = 0
    views: dict[str, Any] = {}
    done = asyncio.Event()

    @reacton.component
    def Counter() -> Any:  # noqa: N802  a component
        nonlocal renders
        renders += 1
        ws = use_websocket(url, filter=lambda message: message.type == "feed", compression=None)
        views["ws"] = ws

        def take() -> None:
            numbers.extend(message.payload["n"] for message in ws.messages)
            if ws.messages and ws.messages[-1].payload.get("last"):
                done.set()

        reacton.use_effect(take, [ws.frame])
        return reacton.ipywidgets.Label(value=str(len(numbers)))

    _, tree = reacton.render(Counter(), handle_error=False)
    try:
        async with asyncio.timeout(TIMEOUT):
            while views["ws"].connection_status != "Connected":
                await asyncio.sleep(0.01)
            before, began, cpu = renders, time.monotonic(), cpu_seconds()
            await views["ws"].connection.request("feed", {"rate": RATE, "count": MESSAGES, "size": 32})
            await done.wait()
            took, used = time.monotonic() - began, cpu_seconds() - cpu
    finally:
        tree.close()
        await hooks_settled()
    missing = sum(1 for a, b in zip(numbers, range(MESSAGES), strict=False) if a != b)
    return missing + abs(MESSAGES - len(numbers)), (renders - before) / took, used


async def _bare(url: str) -> float:
    """Return the CPU seconds of the same feed into a bare callback."""
    done = asyncio.Event()
    count = MESSAGES
    left = count

    def take(message: Message) -> None:
        nonlocal left
        left -= 1
        if message.payload.get("last"):
            done.set()

    async with asyncio.timeout(TIMEOUT), WebSocketConnection(url, compression=None) as conn:
        conn.on("feed", take)
        cpu = cpu_seconds()
        await conn.request("feed", {"rate": RATE, "count": count, "size": 32})
        await done.wait()
        used = cpu_seconds() - cpu
    if left:
        raise LabError(f"the bare callback missed {left} of {count} messages: `lab.check()` says more")
    return used


class _SharedSocket(NamedTuple):
    """What many components that share one socket did to it.

    Parameters
    ----------
    most : int
        Largest number of connections at the same time.
    left : int
        Links and tasks that remained after all components were unmounted.
    expected, received : int
        Pings that one heartbeat sends while each socket is open, and pings that reached the server.
    extra : int
        Pings received beyond those expected, summed over the sockets that had too many.
    """

    most: int
    left: int
    expected: int
    received: int
    extra: int


def _heartbeats(socket: TappedConnection) -> tuple[int, int]:
    """Return how many pings one heartbeat sends on a socket, and how many the server got (its pongs)."""
    heads = [bytes(stream).find(b"\r\n\r\n") + 4 for stream in (socket.up, socket.down)]
    pings, pongs = (
        sum(frame.opcode == opcode for frame in frames(bytes(stream), head))
        for stream, head, opcode in zip((socket.up, socket.down), heads, (PING, PONG), strict=True)
    )
    if pongs > pings:
        raise LabError(f"the server answered {pings} pings {pongs} times: the tap lost bytes, run it again")
    opened = next((at for at, up, _ in socket.chunks if not up), 0.0)
    last = max((at for at, up, _ in socket.chunks if up), default=opened)
    return int(max(0.0, last - opened) / BEAT + 1e-6), pongs


async def _share_socket(url: str, connections: Callable[[], Awaitable[int]]) -> _SharedSocket:
    """Mount and unmount components that share a socket, and count the pings that the server got."""
    async with Tap(url) as tap:
        most, left = await _mount_and_unmount(tap.url, connections)
    counted = [_heartbeats(socket) for socket in tap.connections]
    expected, received = (sum(column) for column in zip(*counted, strict=True))
    return _SharedSocket(most, left, expected, received, sum(max(0, came - one) for one, came in counted))


async def _mount_and_unmount(url: str, connections: Callable[[], Awaitable[int]]) -> tuple[int, int]:
    """Return the most connections at once, and the number of links and tasks that remain."""
    before = asyncio.all_tasks()
    rng = random.Random(1)

    @reacton.component
    def One() -> Any:  # noqa: N802  a component
        use_websocket(url, share=True, heartbeat=Ping(BEAT, 10.0))
        return reacton.ipywidgets.Label()

    trees: list[Any] = []
    most = 0
    for _ in range(STEPS):
        if trees and (len(trees) == COMPONENTS or rng.random() < 0.45):
            trees.pop(rng.randrange(len(trees))).close()
        else:
            trees.append(reacton.render(One(), handle_error=False)[1])
        await asyncio.sleep(rng.random() * 0.01)
        most = max(most, open_links(), await connections())
    rng.shuffle(trees)
    for tree in trees:
        tree.close()
    await hooks_settled()
    async with asyncio.timeout(TIMEOUT):
        while await connections() > open_links():  # the server sees the last close a moment later
            await asyncio.sleep(0.01)
    left = asyncio.all_tasks() - before
    return most, open_links() + len(left)


async def run(start_lab: StartLab) -> list[Result]:
    """Measure the hook `use_websocket`.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server sends the feed.

    Returns
    -------
    list of Result
        Messages lost, renders per second, CPU beside a bare callback's; for many components that
        share a socket, the most connections at once, links and tasks that remained, and the pings
        that the server received beside those of one heartbeat per socket.
    """
    lost: list[float] = []
    renders: list[float] = []
    ours: list[float] = []
    bare: list[float] = []
    lab = await start_lab()
    try:

        async def connections() -> int:
            return (await lab.stats())["connections"]["websocket"]

        shared = await _share_socket(lab.url, connections)
        for _ in range(REPEATS):
            missing, rate, used = await _component(lab.ws_url)
            lost.append(missing)
            renders.append(rate)
            ours.append(used)
            bare.append(await _bare(lab.ws_url))
    finally:
        await lab.stop()
    return [
        Result.of("hooks", "messages lost", lost, "messages", "limit", [0]),
        Result.of("hooks", "renders", renders, "1/s", "limit", [60]),
        Result.of("hooks", "CPU of a feed", ours, "s", "bare callback", bare),
        Result.of("hooks", "connections at once", [shared.most], "sockets", "limit", [1]),
        Result.of("hooks", "left after unmounting", [shared.left], "things", "limit", [0]),
        Result.of("hooks", "pings received", [shared.received], "pings", "one heartbeat", [shared.expected]),
        Result.of("hooks", "pings too many", [shared.extra], "pings", "limit", [0]),
    ]
