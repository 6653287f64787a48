"""Thousands of idle connections on one node: memory and CPU of each, and whether ten thousand can be held."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
import psutil

from rtlab.bench.peers.peer_servers import PeerServer
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.thousands_of_cheap_clients import IdleClients, IdleHandshake
from rtlab.bench.throughput.process_reading import BENCH
from rtlab.errors import LabError
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.processes.descriptor_limit import raise_nofile

__all__ = ["held_connections", "memory_per_connection"]

#: Connections at the two readings; their difference gives the memory of one connection.
COUNTS: Final = (2_000, 10_000)
LIMIT_KIB: Final = 18.0
LIMIT_FULL_KIB: Final = 20.0
REPEATS: Final = 1

HELD: Final = (1_000, 2_500, 5_000, 10_000)
HOLD_SECONDS: Final = 60.0
HEARTBEAT: Final = 15.0

_SOCKSTAT: Final = Path("/proc/net/sockstat")
_OURS: Final = IdleHandshake("/ws", "rtlab.v1.json", b'"type":"welcome"')
#: Opens an outbox, as a client with at-least-once delivery does.
_OUTBOX: Final = b'{"type":"outbox","payload":{"stream":"s","history":"h","token":"t"},"id":"o"}'
_WEBSOCKETS: Final = IdleHandshake("/", "", b'{"type":"ack"}', b'{"type":"join_room"}')
_SOCKETIO: Final = IdleHandshake("/socket.io/?EIO=4&transport=websocket", "", b'40{"sid"', b"40")


async def memory_per_connection(
    start_lab: StartLab, *, counts: tuple[int, int] = COUNTS, repeats: int = REPEATS
) -> list[Result]:
    """Return the server's memory per idle WebSocket, beside bare ``websockets`` and python-socketio.

    Parameters
    ----------
    start_lab : StartLab
        Starts a new lab for each reading, because a process does not return all memory it once used.
    counts : (int, int)
        Connections at the first reading, and at the second.
    repeats : int
        Number of repeats.

    Returns
    -------
    list of Result
        KiB of resident memory; and of the kernel's pages for TCP sockets.
    """
    raise_nofile()
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repeats):
        for name, secure in (("plain", False), ("security and delivery", True)):
            security = "right" if secure else "open"
            lab = await start_lab(
                heartbeat=HEARTBEAT, security=security, token_ttl=3600.0, max_per_user=100_000
            )
            try:
                opening = _OURS
                if secure:
                    opening = _OURS._replace(token=await _log_in(lab.url), says=_OUTBOX)
                found.setdefault(name, []).append(await _grown(lab.url, lab.pids[0], opening, counts))
            finally:
                await lab.stop()
        for name, opening in (("websockets", _WEBSOCKETS), ("socketio-uvicorn", _SOCKETIO)):
            peer = await PeerServer.start(name)
            try:
                found.setdefault(name, []).append(await _grown(peer.url, peer.pid, opening, counts))
            finally:
                await peer.stop()
    values = {name: [kib for kib, _ in pairs] for name, pairs in found.items()}
    rows = [
        msgspec.structs.replace(
            Result.of(
                BENCH,
                f"memory of one idle WebSocket, {what}",
                values[name],
                "KiB",
                "bare websockets",
                values["websockets"],
            ),
            # A limit in KiB, not a ratio.
            peer="limit",
            peer_value=limit,
            ratio=statistics.median(values[name]) / limit,
            at_most=1.0,
        )
        for name, what, limit in (
            ("plain", "with its session", LIMIT_KIB),
            ("security and delivery", "security and delivery on", LIMIT_FULL_KIB),
        )
    ]
    rows += [
        Result.of(BENCH, f"memory of one idle WebSocket, {name}", values[name], "KiB")
        for name in ("websockets", "socketio-uvicorn")
    ]
    kernel = [kib for _, kib in found["plain"]]
    return [*rows, Result.of(BENCH, "kernel memory for the sockets of one, both ends", kernel, "KiB")]


async def _grown(url: str, pid: int, opening: IdleHandshake, counts: tuple[int, int]) -> tuple[float, float]:
    """Return the KiB that each connection adds: to the server's memory, and to the kernel's for TCP."""
    clients = IdleClients("websocket", opening)
    server = psutil.Process(pid)
    readings: list[tuple[int, int]] = []
    try:
        for count in counts:
            await clients.grow(url, count - len(clients))
            await asyncio.sleep(1.0)  # for presence messages, and for the allocator to return memory
            _expect(clients, count)
            readings.append((server.memory_info().rss, _kernel_bytes()))
    finally:
        clients.leave()
        await asyncio.sleep(0)
    (first, kernel_first), (second, kernel_second) = readings
    more = (counts[1] - counts[0]) * 1024
    return (second - first) / more, (kernel_second - kernel_first) / more


def _expect(clients: IdleClients, count: int) -> None:
    if clients.alive != count:
        raise LabError(f"expected {count:,} connections, {clients.alive:,} are left")


def _kernel_bytes() -> int:
    """Return the kernel's memory for TCP on this host (``mem`` of /proc/net/sockstat, in pages)."""
    if not _SOCKSTAT.exists():
        return 0
    fields = next(line for line in _SOCKSTAT.read_text().splitlines() if line.startswith("TCP:")).split()
    return int(fields[fields.index("mem") + 1]) * 4096


async def _log_in(url: str) -> str:
    """Return an access token of one of the lab's built-in users."""
    import httpx

    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/auth/token", json={"user": "ada", "password": "analytical engine"})
        answer.raise_for_status()
        return answer.json()["accessToken"]


async def held_connections(
    start_lab: StartLab,
    *,
    counts: tuple[int, ...] = HELD,
    seconds: float = HOLD_SECONDS,
    heartbeat: float = HEARTBEAT,
) -> list[Result]:
    """Hold idle connections that answer heartbeats; return the CPU time and memory of each, at each count.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab.
    counts : tuple of int
        Numbers of connections, rising. The last is held for `seconds`, the others for one heartbeat.
    seconds, heartbeat : float
        How long the last number is held, and the interval between two pings, in seconds.
    """
    raise_nofile()
    async with AsyncExitStack() as stack:
        lab = await start_lab(heartbeat=heartbeat)
        stack.push_async_callback(lab.stop)
        pid = lab.pids[0]
        server = psutil.Process(pid)
        clients = IdleClients("websocket")
        stack.callback(clients.leave)
        empty = server.memory_info().rss
        rows: list[Result] = []
        costs: list[float] = []
        for count in counts:
            await clients.grow(lab.url, count - len(clients))
            await asyncio.sleep(1.0)
            pings, cpu, began = clients.pings, cpu_seconds(pid), time.monotonic()
            await asyncio.sleep(seconds if count == counts[-1] else heartbeat)
            passed = time.monotonic() - began
            _expect(clients, count)
            used = (cpu_seconds(pid) - cpu) / passed
            costs.append(1e6 * used / count)
            beats = (clients.pings - pings) / count / passed * heartbeat
            kib = (server.memory_info().rss - empty) / count / 1024
            rows += [
                Result.of(BENCH, f"{count:,} idle: server CPU for each", [costs[-1]], "µs/s"),
                Result.of(BENCH, f"{count:,} idle: server memory for each", [kib], "KiB"),
                Result.of(BENCH, f"{count:,} idle: pings answered by each in a heartbeat", [beats], ""),
            ]
        turns = (await lab.stats())["turns"]
    metric = f"CPU for each, {counts[-1]:,} idle"
    flat = Result.of(BENCH, metric, costs[-1:], "µs/s", f"{counts[0]:,} idle", costs[:1])
    longest = Result.of(
        BENCH, f"longest turn with {counts[-1]:,} idle", [1e3 * turns["recent"]], "ms", "limit", [50.0]
    )
    return [
        *rows,
        msgspec.structs.replace(flat, at_most=1.1),
        msgspec.structs.replace(longest, at_most=1.0),
    ]
