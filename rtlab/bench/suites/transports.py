"""``rtlab bench transports``: each transport beside its nearest bare peer, and a node full of idle clients.

One server feeds our client and the peer at the same time, half a period apart, so that
other load on the machine affects both; the ratio is estimated from the pairs of repeats.
A message after a longer pause takes longer, because the processor is in a deeper sleep state:
when the phase was off by 2 ms, the ratio was off by a third. So the phase must be exact, and
each repeat has two feeds, one begun by each side, and takes the median over the messages of both.
The full node has 2,000 event streams and 2,000 WebSockets; the server process itself
reports its memory.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from rtlab.bench.peers.bare_clients import BARE, TakeTransits
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.thousands_of_cheap_clients import IdleTransport, hold_idle_clients
from rtlab.client.client_factory_by_transport import make_client
from rtlab.errors import LabError
from rtlab.experiments.transports.feed_request import take_feed
from rtlab.lab.lab import Lab
from rtlab.measure.recorder import Recorder
from rtlab.processes.descriptor_limit import raise_nofile

__all__ = ["full_node", "latencies", "run"]

REPEATS: Final = 9
FULL_NODE_REPEATS: Final = 3
#: Messages per second, bytes of payload, and messages of each feed.
RATE: Final = 100.0
SIZE: Final = 100
COUNT: Final = 60
TIMEOUT: Final = 60.0

#: The full node: clients of each kind, and the most KiB of server memory per client.
CLIENTS: Final = 2_000
LIMIT_KIB: Final = 30.0
#: Clients connected before the first reading, so that memory that the server allocates once does not count.
_WARM_UP: Final = 20


@asynccontextmanager
async def _ours(transport: str, url: str) -> AsyncGenerator[TakeTransits]:
    # Made before the feed starts: the milliseconds that this takes would shift the phase of the two feeds.
    recorder = Recorder()
    async with make_client(transport, url) as conn:
        recorder.attach(conn, transport)

        async def take(rate: float, size: int, count: int) -> list[float]:
            first = recorder.position
            await take_feed(conn, transport, rate, size, count)
            rows = recorder.since(first).rows
            return [float(value) / 1e3 for value in recorder.measures(rows)["transit"]]

        yield take


async def _later(delay: float, take: TakeTransits, rate: float, count: int) -> list[float]:
    await asyncio.sleep(delay)
    return await take(rate, SIZE, count)


async def latencies(
    url: str, transport: str, *, repeats: int = REPEATS, rate: float = RATE, count: int = COUNT
) -> tuple[list[float], list[float]]:
    """Measure the transit time of server push, for our client and the bare peer at the same time.

    Parameters
    ----------
    url : str
        The server's base URL.
    transport : str
        ``"sse"``, ``"longpoll"`` or ``"webrtc"``.
    repeats : int
        Number of repeats, after one that warms up; each has two feeds to both clients.
    rate, count : float, int
        Messages per second, and messages, of each feed.

    Returns
    -------
    ours, bare : list of float
        The median transit time of each repeat, in µs.
    """
    bare: Callable[[str], AbstractAsyncContextManager[TakeTransits]] = BARE[transport][0]
    medians: tuple[list[float], list[float]] = ([], [])
    async with _ours(transport, url) as our_take, bare(url) as bare_take:
        takes = (our_take, bare_take)
        # The first pair warms up and does not count.
        for turn in range(repeats + 1):
            transits: tuple[list[float], list[float]] = ([], [])
            for delays in ((0.0, 0.5 / rate), (0.5 / rate, 0.0)):
                async with asyncio.timeout(TIMEOUT):
                    both = await asyncio.gather(
                        *(_later(delay, take, rate, count) for delay, take in zip(delays, takes, strict=True))
                    )
                for pooled, found in zip(transits, both, strict=True):
                    pooled += found
            if turn:
                for kept, pooled in zip(medians, transits, strict=True):
                    kept.append(statistics.median(pooled) * 1e6)
    return medians


async def full_node(lab: Lab, clients: int = CLIENTS) -> dict[str, float]:
    """Fill one node with event streams and WebSockets at once.

    Parameters
    ----------
    lab : Lab
        A freshly started lab.
    clients : int
        Number of clients of each kind.

    Returns
    -------
    dict
        Kind → KiB of the server's memory per client.

    Raises
    ------
    LabError
        If not all clients stayed connected.
    """
    raise_nofile()
    kinds: tuple[IdleTransport, IdleTransport] = ("sse", "websocket")
    found: dict[str, float] = {}
    async with hold_idle_clients(lab.url, "sse", _WARM_UP), hold_idle_clients(lab.url, "websocket", _WARM_UP):
        before = await lab.stats()
        async with hold_idle_clients(lab.url, kinds[0], clients) as first:
            between = await lab.stats()
            async with hold_idle_clients(lab.url, kinds[1], clients) as second:
                after = await lab.stats()
                open_now = [after["connections"][kind] - _WARM_UP for kind in kinds]
                if open_now != [clients, clients] or (first.alive, second.alive) != (clients, clients):
                    raise LabError(
                        f"expected {clients:,} clients of each kind at once, got {open_now[0]:,} event "
                        f"streams and {open_now[1]:,} WebSockets"
                    )
    readings = [before["rss_bytes"], between["rss_bytes"], after["rss_bytes"]]
    for kind, low, high in zip(kinds, readings, readings[1:], strict=False):
        found[kind] = (high - low) / clients / 1024
    return found


async def run(start_lab: StartLab) -> list[Result]:
    """Compare latencies, then fill a node.

    Parameters
    ----------
    start_lab : StartLab
        Starts the labs.

    Returns
    -------
    list of Result
        Push latency of event stream, long poll and WebRTC beside httpx-sse, an httpx
        loop and aiortc; server memory per client beside its limit.
    """
    results: list[Result] = []
    # No heartbeats: the bare peers do not answer them.
    lab = await start_lab(heartbeat=3600.0)
    try:
        for transport, (_, peer) in BARE.items():
            ours, bare = await latencies(lab.url, transport)
            results.append(Result.paired("transports", f"{transport} push p50", ours, "µs", peer, bare))
    finally:
        await lab.stop()
    memory: dict[str, list[float]] = {}
    for _ in range(FULL_NODE_REPEATS):
        lab = await start_lab()
        try:
            for kind, kib in (await full_node(lab)).items():
                memory.setdefault(kind, []).append(kib)
        finally:
            await lab.stop()
    for kind, values in memory.items():
        metric = f"memory of one {kind} client among {2 * CLIENTS:,}"
        results.append(Result.of("transports", metric, values, "KiB", "limit", [LIMIT_KIB]))
    return results
