"""Real connections notice a silent path as late as the uniform laws say, and no other law fits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

from rtlab.connection import Connection
from rtlab.errors import ConnectFailed, LabError
from rtlab.faults.client import FaultClient
from rtlab.lab import Lab
from rtlab.measure.detection import detection_times, ks_bound, ks_distance
from rtlab.measure.looplag import LoopLag
from rtlab.models.detection import Uniform, ping_timeout, sweep
from rtlab.policies.heartbeat import Heartbeat, Ping, Sweep, Watchdog
from rtlab.transports.longpoll import LongPolling
from rtlab.transports.sse import ServerSentEvents
from rtlab.transports.webrtc import WebRTCChannel
from rtlab.transports.websocket import WebSocketConnection

INTERVAL: Final = 1.0
#: Long, so that no machine that is busy, or stops for a second, raises a false alarm.
GRACE: Final = 3.0

#: What the server and the proxy may add to D, being late by 100 ms of an interval. How late this
#: process was, in the same seconds, is measured, and allowed on top.
LATENESS: Final = 0.1

#: Every law that is tried, the true one among them. No two overlap, and lateness moves none onto
#: another: a wrong law is at D = 1 whatever chance does.
LAWS: Final = {
    "ping": ping_timeout(INTERVAL, GRACE),
    "sweep": sweep(INTERVAL),
    "at once, or an interval later": Uniform(0, INTERVAL),
}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True, heartbeat=INTERVAL, poll_timeout=INTERVAL) as lab:
        yield lab


def check(times: NDArray[np.float64], name: str, n: int, late: float) -> None:
    """One law fits within the bound for n and a loop that was `late` seconds, and the others do not."""
    assert len(times) == n
    bound = ks_bound(n) + LATENESS + late / INTERVAL
    assert bound < 1, f"this process was {late:.2f} s late: nothing can be told"
    distances = {law: ks_distance(times, LAWS[law].cdf) for law in LAWS}
    assert {law for law, distance in distances.items() if distance < bound} == {name}, distances


def options(heartbeat: Heartbeat) -> dict[str, Any]:
    return {"heartbeat": heartbeat, "max_reconnect_attempts": 0, "close_timeout": 0.1}


async def test_websocket_heartbeats_follow_their_laws(lab: Lab) -> None:
    n = 80  # of each; chance alone: D < 0.22
    # A watchdog of the server's pings has the law of pinging, read backwards.
    expected = {Ping(INTERVAL, GRACE): "ping", Watchdog(INTERVAL, GRACE): "ping", Sweep(INTERVAL): "sweep"}
    connections = [
        WebSocketConnection(lab.faults.ws_url, **options(heartbeat))
        for heartbeat in expected
        for _ in range(n)
    ]
    times, late = await struck_together(lab, connections)
    for law, row in zip(expected.values(), times.reshape(len(expected), n), strict=True):
        check(row, law, n, late)


async def test_a_watchdog_of_empty_polls_follows_its_law(lab: Lab) -> None:
    n = 80
    heartbeat = Watchdog(INTERVAL, GRACE)
    connections = [LongPolling(f"{lab.faults.url}/poll", **options(heartbeat)) for _ in range(n)]
    times, late = await struck_together(lab, connections)
    check(times, "ping", n, late)


async def struck_together(lab: Lab, connections: Sequence[Connection]) -> tuple[NDArray[np.float64], float]:
    """The times, and how late a timer was at worst from the fault on, or the fault itself."""
    lag, took = LoopLag(), 0.0

    async def strike() -> None:
        nonlocal took
        lag.start()
        began = time.monotonic()
        await lab.faults.blackhole()
        took = time.monotonic() - began

    try:
        times = await detection_times(
            connections, strike, spread=3 * INTERVAL, settle=1.2 * INTERVAL, timeout=10 * INTERVAL
        )
    finally:
        lag.stop()
    return times, max(float(lag.lags().max()), took)


async def test_a_watchdog_of_stream_comments_follows_its_law(lab: Lab) -> None:
    n = 60  # chance alone: D < 0.26
    port = urlsplit(lab.url).port
    assert port is not None

    async def proxy(index: int) -> FaultClient:
        host = "127.0.0.1"
        return await FaultClient(lab.faults.api_url, lab.token, host, port, name=f"sse-{index}").start()

    def stream(proxy: FaultClient) -> Connection:
        return ServerSentEvents(f"{proxy.url}/sse", **options(Watchdog(INTERVAL, GRACE)))

    times, late = await struck_singly(n, proxy, stream, FaultClient.blackhole)
    check(times, "ping", n, late)


async def test_pings_over_a_data_channel_follow_their_law(lab: Lab) -> None:
    n = 40  # chance alone: D < 0.31

    async def relay(index: int) -> FaultClient:
        return await lab.faults.udp(name=f"udp-{index}")

    def channel(relay: FaultClient) -> Connection:
        return WebRTCChannel(lab.url, relay=relay.relay, **options(Ping(INTERVAL, GRACE)))

    def lose_all(relay: FaultClient) -> Awaitable[object]:
        return relay.loss(1.0, stream="both")

    times, late = await struck_singly(n, relay, channel, lose_all)
    check(times, "ping", n, late)


async def struck_singly(
    n: int,
    make_proxy: Callable[[int], Awaitable[FaultClient]],
    connect: Callable[[FaultClient], Connection],
    silence: Callable[[FaultClient], Awaitable[object]],
) -> tuple[NDArray[np.float64], float]:
    """A proxy and a moment for each: the server sends its comments to all streams at once."""
    proxies = [await make_proxy(index) for index in range(n)]
    # Uniform over one interval, and none before all are open.
    settles = np.random.default_rng(1).uniform(2.2 * INTERVAL, 3.2 * INTERVAL, n)
    lag = LoopLag()

    async def one(proxy: FaultClient, settle: float, seed: int) -> float:
        async def strike() -> None:
            lag.start()  # the first one starts it
            await silence(proxy)

        times = await detection_times(
            [connect(proxy)],
            strike,
            spread=2 * INTERVAL,
            settle=settle,
            timeout=10 * INTERVAL,
            seed=seed,
        )
        return float(times[0])

    try:
        pairs = enumerate(zip(proxies, settles.tolist(), strict=True))
        found = await asyncio.gather(*(one(proxy, settle, i) for i, (proxy, settle) in pairs))
        return np.array(found), float(lag.lags().max())
    finally:
        lag.stop()
        for proxy in proxies:
            await proxy.close()


async def test_without_a_heartbeat_nobody_notices_and_that_is_told(lab: Lab) -> None:
    connections = [WebSocketConnection(lab.faults.ws_url, max_reconnect_attempts=0) for _ in range(2)]
    before = asyncio.all_tasks()
    times = await detection_times(connections, lab.faults.blackhole, spread=0.1, settle=0.1, timeout=0.5)
    assert times.tolist() == [math.inf, math.inf]
    assert ks_distance(times, LAWS["ping"].cdf) == 1
    assert asyncio.all_tasks() == before


async def test_a_false_alarm_is_an_error_and_leaves_nothing_behind(lab: Lab) -> None:
    strict = WebSocketConnection(lab.faults.ws_url, **options(Watchdog(0.01, grace=0.01)))
    before = asyncio.all_tasks()
    with pytest.raises(LabError, match=r"got 0: .* 'heartbeat: nothing came for 0\.02 s'"):
        await detection_times([strict], lab.faults.blackhole, spread=0.01, settle=0.3, timeout=1)
    assert await lab.faults.toxics() == []
    assert asyncio.all_tasks() == before


async def test_a_connection_that_cannot_open_says_why() -> None:
    nowhere = WebSocketConnection("ws://127.0.0.1:1/ws")
    with pytest.raises(ConnectFailed, match="nothing listens"):
        await detection_times([nowhere], _nothing, spread=0.01, settle=0.01, timeout=0.1)


async def _nothing() -> None: ...


def test_the_distance_is_the_widest_gap_above_or_below() -> None:
    law = Uniform(0, 1).cdf
    assert ks_distance([0.5], law) == 0.5
    assert ks_distance([0.9, 0.8], law) == pytest.approx(0.8)  # the law runs ahead
    assert ks_distance([0.1, 0.2], law) == pytest.approx(0.8)  # the samples do
    assert ks_distance([2.0, 3.0], law) == 1


def test_the_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    bound = ks_bound(50, alpha=0.05)
    beyond = np.mean([ks_distance(rng.random(50), Uniform(0, 1).cdf) > bound for _ in range(4_000)])
    assert 0.03 < beyond <= 0.055
