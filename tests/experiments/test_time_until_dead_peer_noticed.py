"""Real connections notice a silent path as late as the uniform laws say, and no other law fits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

from rtlab.client.connection import Connection
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed, LabError
from rtlab.experiments.time_until_dead_peer_noticed import detection_times
from rtlab.faults.client.fault_client import FaultClient
from rtlab.lab.lab import Lab
from rtlab.measure.event_loop_lag import LoopLag
from rtlab.measure.statistics.ks_distance import ks_bound, ks_distance
from rtlab.models.detection_time_distribution import Uniform, ping_timeout, sweep
from rtlab.policies.missed_heartbeats_and_dead_peers import Heartbeat, Ping, Sweep, Watchdog

pytestmark = [pytest.mark.calm, pytest.mark.spread]

INTERVAL: Final = 1.0
#: Long, so that no machine that is busy, or stops for a second, raises a false alarm.
GRACE: Final = 3.0

#: What the server and the proxy may add to D, being late by 180 ms of an interval. When this
#: process was late itself is measured, and leaves open when the verdicts were due.
LATENESS: Final = 0.18

#: Every law that is tried, the true one among them. No two overlap: a wrong one is at D = 1
#: whatever chance does, and half an interval beside the truth is too much.
LAWS: Final = {
    "ping": ping_timeout(INTERVAL, GRACE),
    "sweep": sweep(INTERVAL),
    "at once, or an interval later": Uniform(0, INTERVAL),
}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True, heartbeat=INTERVAL, poll_timeout=INTERVAL) as lab:
        yield lab


class Strike:
    """A fault: when it struck, and what this process slept through from then on."""

    def __init__(self, silence: Callable[[], Awaitable[object]], lag: LoopLag) -> None:
        self.silence = silence
        self.lag = lag
        self.began = self.ended = math.nan

    async def __call__(self) -> None:
        self.lag.start()  # of several strikes that share one, the first starts it
        self.began = time.monotonic()
        await self.silence()
        self.ended = time.monotonic()

    def bounds(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The earliest and the latest that each verdict can have been due: two rows."""
        struck, half = (self.began + self.ended) / 2, (self.ended - self.began) / 2
        earliest = times - half
        for stalled, woke in self.lag.stretches() - struck:
            # A timer that came due in a stall is late by the rest of it, and its verdict twice that.
            touched = (times >= stalled) & (times <= 2 * woke - stalled)
            earliest[touched] = np.minimum(earliest[touched], stalled - half)
        return np.stack([earliest, times + half])


def check(bounds: NDArray[np.float64], name: str, n: int) -> None:
    """One law fits within the bound for n, and the others do not."""
    earliest, latest = bounds
    assert len(latest) == n
    bound = ks_bound(n) + LATENESS
    assert bound < 0.5
    distances = {law: ks_distance(latest, LAWS[law].cdf, earliest) for law in LAWS}
    assert {law for law, distance in distances.items() if distance < bound} == {name}, distances


def options(heartbeat: Heartbeat) -> dict[str, Any]:
    return {"heartbeat": heartbeat, "max_reconnect_attempts": 0, "close_timeout": 0.1}


async def test_websocket_heartbeats_follow_their_laws(lab: Lab) -> None:
    n = 80  # of each; chance alone: D < 0.22
    # A watchdog of the server's pings has the law of pinging, read backwards.
    expected = {Ping(INTERVAL, GRACE): "ping", Watchdog(INTERVAL, GRACE): "ping", Sweep(INTERVAL): "sweep"}

    def connections() -> list[Connection]:
        url = lab.faults.ws_url
        return [WebSocketConnection(url, **options(beat)) for beat in expected for _ in range(n)]

    bounds = await struck_together(lab, connections)
    for law, rows in zip(expected.values(), np.split(bounds, len(expected), axis=1), strict=True):
        check(rows, law, n)


async def test_a_watchdog_of_empty_polls_follows_its_law(lab: Lab) -> None:
    n = 80

    def connections() -> list[Connection]:
        url, heartbeat = f"{lab.faults.url}/poll", Watchdog(INTERVAL, GRACE)
        return [LongPolling(url, **options(heartbeat)) for _ in range(n)]

    check(await struck_together(lab, connections), "ping", n)


async def struck_together(lab: Lab, connections: Callable[[], list[Connection]]) -> NDArray[np.float64]:
    """The bounds; measured anew when all stopped before the fault, whatever came out.

    After a stop, the beats that were due in it go on together: the fault meets them no
    longer at random places of their cycles, which every law presumes.
    """
    for _ in range(3):
        with LoopLag(late=0.02) as lag:
            strike = Strike(lab.faults.blackhole, lag)
            times = await detection_times(
                connections(), strike, spread=3 * INTERVAL, settle=1.2 * INTERVAL, timeout=10 * INTERVAL
            )
        stalls = lag.stretches()
        if not ((stalls[:, 0] < strike.began) & (np.diff(stalls)[:, 0] > LATENESS * INTERVAL)).any():
            return strike.bounds(times)
        await lab.faults.restore()
    raise AssertionError("this machine stopped before each of three faults: nothing can be told")


async def test_a_watchdog_of_stream_comments_follows_its_law(lab: Lab) -> None:
    n = 60  # chance alone: D < 0.26
    port = urlsplit(lab.url).port
    assert port is not None

    async def proxy(index: int) -> FaultClient:
        host = "127.0.0.1"
        return await FaultClient(lab.faults.api_url, lab.token, host, port, name=f"sse-{index}").start()

    def stream(proxy: FaultClient) -> Connection:
        return ServerSentEvents(f"{proxy.url}/sse", **options(Watchdog(INTERVAL, GRACE)))

    check(await struck_singly(n, proxy, stream, FaultClient.blackhole), "ping", n)


async def test_pings_over_a_data_channel_follow_their_law(lab: Lab) -> None:
    n = 40  # chance alone: D < 0.31

    async def relay(index: int) -> FaultClient:
        return await lab.faults.udp(name=f"udp-{index}")

    def channel(relay: FaultClient) -> Connection:
        return WebRTCChannel(lab.url, relay=relay.relay, **options(Ping(INTERVAL, GRACE)))

    def lose_all(relay: FaultClient) -> Awaitable[object]:
        return relay.loss(1.0, stream="both")

    check(await struck_singly(n, relay, channel, lose_all), "ping", n)


async def struck_singly(
    n: int,
    make_proxy: Callable[[int], Awaitable[FaultClient]],
    connect: Callable[[FaultClient], Connection],
    silence: Callable[[FaultClient], Awaitable[object]],
) -> NDArray[np.float64]:
    """A proxy and a moment for each: the server sends its comments to all streams at once."""
    proxies = [await make_proxy(index) for index in range(n)]
    # Uniform over one interval, and none before all are open.
    settles = np.random.default_rng(1).uniform(2.2 * INTERVAL, 3.2 * INTERVAL, n)
    lag = LoopLag(late=0.02)

    async def one(proxy: FaultClient, settle: float, seed: int) -> NDArray[np.float64]:
        strike = Strike(lambda: silence(proxy), lag)
        times = await detection_times(
            [connect(proxy)],
            strike,
            spread=2 * INTERVAL,
            settle=settle,
            timeout=10 * INTERVAL,
            seed=seed,
        )
        return strike.bounds(times)

    try:
        pairs = enumerate(zip(proxies, settles.tolist(), strict=True))
        found = await asyncio.gather(*(one(proxy, settle, i) for i, (proxy, settle) in pairs))
        return np.concatenate(found, axis=1)
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
