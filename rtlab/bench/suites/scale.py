"""``rtlab bench scale``: what a cluster of nodes on a broker costs, beside the broker's own client.

One client at each node is in the same room. The first client publishes a message, and waits for its
acknowledgement and for all clients to receive it, before the next. The peer is a bare client of the same
broker that publishes with confirmation to as many bare subscribers. Both take turns.

Then, while messages flow, the node that owns the room is killed or stopped (SIGSTOP): how long is it until
a message arrives that was sent after that? ``--only cost`` or ``--only recovery`` measures one of the two.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

import msgspec
import numpy as np
import psutil

from rtlab.bench.peers.bare_brokers import BARE, Trip
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError, RtlabError
from rtlab.experiments.cluster.breakable_cluster import BreakableCluster
from rtlab.experiments.cluster.node_death_losses import Break, break_cluster
from rtlab.lab.broker_servers import BROKERS, BrokerServer, find_broker
from rtlab.lab.lab import Lab
from rtlab.measure.cpu_time import cpu_seconds
from rtlab.server.brokers.cluster.cluster_membership import Timings

__all__ = ["measure", "measure_recovery", "run"]

NODES: Final = (1, 2, 3)
MESSAGES: Final = 200
_ROOM: Final = "scale"
_BODY: Final = "x" * 100
_TIMEOUT: Final = 30.0
_PARTS: Final = ("cost", "recovery")
#: Repeats of each break; its row shows the longest recovery.
BREAKS: Final = 3
#: Messages per second during a break: fewer than the slowest broker acknowledges for one sender.
_RATE: Final = 10.0
#: Longest recovery in seconds. The end of a process is noticed at once, a stopped one only by its silence.
_LIMITS: Final[dict[Break, float]] = {"kill -9 of the owner": 0.5, "SIGSTOP of the owner": 2.0}


async def run(start_lab: StartLab, *, messages: int = MESSAGES, only: str = "") -> list[Result]:
    """Measure every installed broker with one, two and three nodes.

    Parameters
    ----------
    start_lab : StartLab
        Starts each lab.
    messages : int
        Messages in each reading; at least 2.
    only : str
        ``"cost"`` or ``"recovery"``; empty for both.

    Returns
    -------
    list of Result
        CPU time of each process per delivery; the time from a publish until all clients have received
        the message, and how much longer that is than the bare client's; the time to recover, beside its
        limit.

    Raises
    ------
    RtlabError
        If `only` is another text.
    """
    if only and only not in _PARTS:
        raise RtlabError(f"expected --only with one of {', '.join(_PARTS)}, got {only!r}")
    results: list[Result] = []
    for kind in BROKERS:
        try:
            find_broker(kind)
        except LabError:
            continue
        if only != "cost":
            results += await measure_recovery(kind, BREAKS)
        if only == "recovery":
            continue
        broker = await BrokerServer.start(kind)
        try:
            for nodes in NODES:
                lab = await start_lab(nodes=nodes, broker=broker.url)
                try:
                    results += await measure(lab, broker, nodes, max(2, messages))
                finally:
                    await lab.stop()
        finally:
            await broker.stop()
    return results


async def measure(lab: Lab, broker: BrokerServer, nodes: int, messages: int) -> list[Result]:
    """Measure one lab on one broker.

    Parameters
    ----------
    lab : Lab
        A lab whose nodes use the broker.
    broker : BrokerServer
        The broker, whose CPU time is read, too.
    nodes : int
        Number of the lab's nodes.
    messages : int
        Messages in each reading.

    Returns
    -------
    list of Result
    """
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(BARE[broker.kind](broker.url, nodes))
        clients = [await stack.enter_async_context(WebSocketConnection(node.ws_url)) for node in lab.nodes]
        heard: asyncio.Queue[object] = asyncio.Queue()
        for client in clients:
            client.on("n", heard.put_nowait)
            await client.join_room(_ROOM)

        async def ours(_: bytes) -> None:
            await clients[0].request("n", _BODY, room_id=_ROOM)
            for _client in clients:
                await heard.get()

        processes = {f"node-{index}": [pid] for index, pid in enumerate(lab.pids[:nodes], 1)}
        processes["broker"] = _family(broker.pid)
        what = f"{broker.kind}, {nodes} {'node' if nodes == 1 else 'nodes'}"
        mine, bare = await _cpu(ours, processes, messages), await _cpu(peer, processes, messages)
        rows = [
            Result.of("scale", f"{what}: CPU of {name} per delivery", [seconds / nodes * 1e6], "µs")
            for name, seconds in mine.items()
            if name != "broker"
        ]
        rows.append(
            Result.of(
                "scale",
                f"{what}: CPU of the broker per delivery",
                [mine["broker"] / nodes * 1e6],
                "µs",
                "bare client",
                [bare["broker"] / nodes * 1e6],
            )
        )
        return rows + _times(what, *await _turns(ours, peer, messages))


async def measure_recovery(kind: str, repeats: int) -> list[Result]:
    """Measure how soon a cluster of three nodes recovers from the loss of the node that owns a room.

    Parameters
    ----------
    kind : str
        Kind of broker.
    repeats : int
        Repeats of each break: the owner is killed, and the owner is stopped.

    Returns
    -------
    list of Result
        For each break the longest recovery of the repeats, which must not exceed its limit.
    """
    timings = Timings()
    stated = {"SIGSTOP of the owner": f" (beat {timings.beat:g} s, dead after {timings.dead:g} s)"}
    rows: list[Result] = []
    cluster = await BreakableCluster.start(kind)
    try:
        for happened, limit in _LIMITS.items():
            taken = [
                row.recovery
                for _ in range(repeats)
                for row in await break_cluster(cluster, happened, modes=("at_least_once",), rate=_RATE)
            ]
            metric = (
                f"{kind}, 3 nodes: recovery from {happened}{stated.get(happened, '')}, worst of {repeats}"
            )
            row = Result.of("scale", metric, [max(taken)], "s")
            rows.append(msgspec.structs.replace(row, at_most=limit))
    finally:
        await cluster.stop()
    return rows


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants: a broker runs as a child of the lab's guard process."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


async def _cpu(trip: Trip, processes: dict[str, list[int]], messages: int) -> dict[str, float]:
    """Return the CPU time of each process per message, in seconds."""

    def read() -> dict[str, float]:
        return {name: sum(cpu_seconds(pid) for pid in pids) for name, pids in processes.items()}

    await _timed(trip)
    before = read()
    for _ in range(messages):
        await _timed(trip)
    after = read()
    return {name: (after[name] - before[name]) / messages for name in processes}


async def _timed(trip: Trip) -> float:
    began = time.perf_counter()
    async with asyncio.timeout(_TIMEOUT):
        await trip(_BODY.encode())
    return time.perf_counter() - began


async def _turns(ours: Trip, peer: Trip, messages: int) -> tuple[list[float], list[float]]:
    """Return how long each message took through the nodes, and with the bare client, in ms."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(messages):
        order = ((ours, taken[0]), (peer, taken[1]))
        for trip, times in order if turn % 2 else reversed(order):
            times.append(await _timed(trip) * 1e3)
    return taken


def _times(what: str, ours: list[float], peer: list[float]) -> list[Result]:
    added = sorted(our - bare for our, bare in zip(ours, peer, strict=True))
    late = [float(np.percentile(times, 99)) for times in (ours, peer, added)]
    return [
        Result.of("scale", f"{what}: until all heard p50", ours, "ms", "bare client", peer),
        Result.of("scale", f"{what}: until all heard p99", [late[0]], "ms", "bare client", [late[1]]),
        Result.of("scale", f"{what}: added p50", added, "ms"),
        Result.of("scale", f"{what}: added p99", [late[2]], "ms"),
    ]
