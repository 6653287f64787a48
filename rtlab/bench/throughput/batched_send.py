"""Sending messages of 64 bytes: `MessageBatcher` beside a bare client that sends each in its own frame."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from rtlab.bench.peers.peer_servers import PeerServer
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.throughput.process_reading import BENCH
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.patterns.message_batcher import MessageBatcher

__all__ = ["batched_send"]

REPEATS: Final = 9
MESSAGES: Final = 20_000
SIZES: Final = (10, 100, 1_000)
MUSTS: Final = {10: 2.5, 100: 4.0}
_TIMEOUT: Final = 60.0
#: How many modules the profile lists.
_SHARES: Final = 6

#: A message of 64 bytes in JSON, which the server ignores, so that only the path to the handler is measured.
_PAYLOAD: Final = "x" * 36
_TEXT: Final = '{"type":"%s","payload":"%s"}'


class _Reading(NamedTuple):
    rate: float
    client: float
    server: float


async def _watched(pid: int, messages: int, work: Awaitable[object]) -> _Reading:
    cpu, own, began = cpu_seconds(pid), cpu_seconds(), time.perf_counter()
    async with asyncio.timeout(_TIMEOUT):
        await work
    seconds = time.perf_counter() - began
    return _Reading(messages / seconds, (cpu_seconds() - own) / seconds, (cpu_seconds(pid) - cpu) / seconds)


async def _ours(url: str, batch_size: int, messages: int) -> None:
    async with WebSocketConnection(url) as conn:
        batcher = MessageBatcher(conn, batch_size=batch_size, flush_interval=1.0)
        for _ in range(messages):
            await batcher.send("pong", _PAYLOAD)
        await batcher.close()
        if batcher.stats.handled != messages:
            raise LabError(f"expected {messages:,} messages handled, got {batcher.stats}")


async def _theirs(url: str, messages: int, *, each: bool) -> None:
    """Send each message in its own frame; with `each` every one is answered, otherwise only the last."""
    text = _TEXT % ("one" if each else "non", _PAYLOAD)

    async def answers(connection: ClientConnection) -> None:
        for _ in range(messages if each else 1):
            await connection.recv()

    async with connect(url, compression=None, ping_interval=None, proxy=None) as connection:
        reading = asyncio.create_task(answers(connection))
        try:
            for n in range(messages):
                await connection.send(text)
                if n % 100 == 0:
                    await asyncio.sleep(0)
            if not each:
                await connection.send('{"type":"last"}')
            await reading
        finally:
            reading.cancel()


async def batched_send(
    start_lab: StartLab,
    *,
    messages: int = MESSAGES,
    repeats: int = REPEATS,
    sizes: tuple[int, ...] = SIZES,
) -> list[Result]:
    """Compare the messages per second that the server has handled and acknowledged.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab.
    messages, repeats : int
        Messages in each reading, and number of readings.
    sizes : tuple of int
        Batch sizes.

    Returns
    -------
    list of Result
        Rates by batch size, beside a bare client and server with an answer for each message, and with one
        answer for all; and the shares of the client's time by module, from a profile.
    """
    lab = await start_lab(heartbeat=3600.0)
    try:
        peer = await PeerServer.start("counting")
        try:
            url = peer.url.replace("http", "ws", 1)
            sides: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
                f"{size}": (lab.pids[0], _bind(lab.ws_url, size, messages)) for size in sizes
            }
            sides["one answer each"] = (peer.pid, lambda: _theirs(url, messages, each=True))
            sides["one answer for all"] = (peer.pid, lambda: _theirs(url, messages, each=False))
            found: dict[str, list[_Reading]] = {name: [] for name in sides}
            for turn in range(repeats + 1):
                for name in sides if turn % 2 else reversed(sides):
                    pid, work = sides[name]
                    reading = await _watched(pid, messages, work())
                    if turn:  # the first round warms up
                        found[name].append(reading)
            shares = await _profile(lab.ws_url, sizes[-1], messages)
        finally:
            await peer.stop()
    finally:
        await lab.stop()
    rows: list[Result] = []
    for size in sizes:
        for peer_name, must in (("one answer each", MUSTS.get(size)), ("one answer for all", None)):
            row = Result.paired(
                BENCH,
                f"batched send, 64 bytes, B = {size:,}",
                [reading.rate for reading in found[f"{size}"]],
                "msg/s",
                f"bare websockets, {peer_name}",
                [reading.rate for reading in found[peer_name]],
            )
            busy = min(_busiest(found[f"{size}"]), _busiest(found[peer_name]))
            rows.append(msgspec.structs.replace(row, busy=busy, at_least=must))
    return rows + shares


def _bind(url: str, size: int, messages: int) -> Callable[[], Awaitable[None]]:
    return lambda: _ours(url, size, messages)


def _busiest(readings: list[_Reading]) -> float:
    """Return how busy the busier end was; client and server work at the same time, on one core each."""
    return statistics.median(max(reading.client, reading.server) for reading in readings)


async def _profile(url: str, size: int, messages: int) -> list[Result]:
    """Return the shares of this process's time in a batched send, by module, in %."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        await _ours(url, size, messages)
    finally:
        profile.disable()
    raw = cast(
        "dict[tuple[str, int, str], tuple[int, int, float, float, object]]",
        pstats.Stats(profile).__dict__["stats"],
    )
    spent: Counter[str] = Counter()
    for (path, _, function), (_, _, own, _, _) in raw.items():
        spent[_module(path, function)] += own  # type: ignore[assignment]
    total = sum(spent.values())
    return [
        Result.of(BENCH, f"batched send, B = {size:,}: client's time in {name}", [100 * own / total], "%")
        for name, own in spent.most_common(_SHARES)
    ]


def _module(path: str, function: str) -> str:
    if path == "~":  # a built-in function
        return function.strip("<>").removeprefix("built-in method ").removeprefix("method ")
    parts = Path(path).with_suffix("").parts
    for package in ("rtlab", "websockets", "asyncio", "msgspec"):
        if package in parts:
            at = len(parts) - 1 - parts[::-1].index(package)
            return ".".join(parts[at:])
    return Path(path).stem
