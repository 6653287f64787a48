"""``rtlab bench hooks``: a component under a fast feed beside a bare callback, and a crowd on one socket."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUntypedFunctionDecorator=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import reacton
import reacton.ipywidgets

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.hooks.links import hooks_settled, open_links
from rtlab.hooks.use_websocket import use_websocket
from rtlab.measure.cpu import cpu_seconds
from rtlab.policies.heartbeat import Ping
from rtlab.protocol.messages import Message

__all__ = ["run"]

REPEATS: Final = 3
RATE: Final = 20_000
MESSAGES: Final = 100_000
COMPONENTS: Final = 50
STEPS: Final = 400
TIMEOUT: Final = 60.0


async def _component(url: str) -> tuple[int, float, float]:
    """Return what was lost, renders a second, and CPU seconds of one feed into a component."""
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


async def _crowd(url: str, connections: Callable[[], Awaitable[int]]) -> tuple[int, int]:
    """Mount and unmount components that share a socket; return most connections at once, and what is left."""
    rng = random.Random(1)

    @reacton.component
    def One() -> Any:  # noqa: N802  a component
        use_websocket(url, share=True, heartbeat=Ping(0.05, 10.0))
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
        while await connections() > open_links():  # the server hears of the last close a moment later
            await asyncio.sleep(0.01)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return most, open_links() + len(left)


async def run(start_lab: StartLab) -> list[Result]:
    """Measure the hook.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server feeds it.

    Returns
    -------
    list of Result
        Messages lost, renders a second, CPU beside a bare callback's; the most connections that a
        crowd of components had at once, each of which has one heartbeat, and what it left behind.
    """
    lost: list[float] = []
    renders: list[float] = []
    ours: list[float] = []
    bare: list[float] = []
    lab = await start_lab()
    try:

        async def connections() -> int:
            return (await lab.stats())["connections"]["websocket"]

        most, left = await _crowd(lab.ws_url, connections)
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
        Result.of("hooks", "connections at once", [most], "sockets", "limit", [1]),
        Result.of("hooks", "left after unmounting", [left], "things", "limit", [0]),
    ]
