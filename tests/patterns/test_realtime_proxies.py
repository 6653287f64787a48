"""RealtimeClient through a real proxy that cuts connections when they are idle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtlab.client.event_emitter import Reconnecting
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from rtlab.lab.start_reverse_proxies import start_proxies
from rtlab.patterns.realtime_client import ORDER, RealtimeClient
from rtlab.patterns.transport_blocklist import Blocklist
from rtlab.policies.backoff import Constant
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping
from rtlab.processes.find_program import find_program

if find_program("haproxy") is None:
    pytest.skip("haproxy is not installed: apt install haproxy", allow_module_level=True)

TIMEOUT = 60.0
#: Seconds of silence after which the proxy cuts: long where a late beat must not count, short elsewhere.
IDLE = 2.0
SHORT = 1.0
BEAT = IDLE / 4


async def stays(url: str, **options: Any) -> tuple[int, str]:
    """Say nothing for two and a half times what the proxy bears; how often it cut, and where we are."""
    async with await RealtimeClient.connect(url, **options) as client:
        await client.join_room("r")
        loop = asyncio.get_running_loop()
        until = loop.time() + 2.5 * IDLE
        while client.stats.disconnects == 0 and loop.time() < until:
            await asyncio.sleep(0.02)
        return client.stats.disconnects, client.transport


async def test_a_servers_heartbeat_keeps_every_transport_alive() -> None:
    async with (
        asyncio.timeout(TIMEOUT),
        Lab(heartbeat=BEAT, poll_timeout=BEAT) as lab,
        start_proxies(lab, ("haproxy",), timeout=IDLE) as urls,
    ):
        url = urls["haproxy", "defaults"]
        tries = (stays(url, transports=[name]) for name in ORDER)
        assert await asyncio.gather(*tries) == [(0, name) for name in ORDER]


async def test_so_does_the_clients_own_where_one_connection_carries_both_ways() -> None:
    async with (
        asyncio.timeout(TIMEOUT),
        Lab(heartbeat=10 * IDLE, poll_timeout=10 * IDLE) as lab,
        start_proxies(lab, ("haproxy",), timeout=IDLE) as urls,
    ):
        url = urls["haproxy", "defaults"]
        beating, silent = await asyncio.gather(
            stays(url, heartbeat=Ping(interval=BEAT, timeout=10 * IDLE)), stays(url)
        )
        assert beating == (0, "websocket")
        assert silent[0] > 0  # the control: without it the proxy does cut


@pytest.mark.parametrize("transports", [["websocket"], ["sse"], ["longpoll"], ORDER], ids="+".join)
async def test_without_heartbeats_it_is_cut_and_nothing_is_lost(transports: list[str]) -> None:
    """Bursts with silences between that the proxy does not bear: all come, once, in order."""
    got: list[int] = []
    gaps: list[object] = []
    used: dict[str, None] = {}
    burst, cuts = 5, 4 if len(transports) > 1 else 2
    async with (
        asyncio.timeout(TIMEOUT),
        Lab(heartbeat=60, poll_timeout=30) as lab,
        start_proxies(lab, ("haproxy",), timeout=SHORT) as urls,
        WebSocketConnection(lab.ws_url) as publisher,
    ):
        await publisher.join_room("r")
        options = {
            "transports": transports,
            "backoff": Constant(seconds=0.0),
            "blocklist": Blocklist(short_life=60),
        }
        async with await RealtimeClient.connect(urls["haproxy", "defaults"], **options) as client:
            client.on("chat", lambda m: got.append(m.payload))
            client.on("resync", gaps.append)
            await client.join_room("r")
            # Three cuts of the first transport move a client on that has others.
            for cut in range(cuts):
                lost: asyncio.Future[Reconnecting] = asyncio.get_running_loop().create_future()
                client.once("reconnecting", lambda e, lost=lost: lost.done() or lost.set_result(e))
                used[client.transport] = None
                await lost
                for n in range(burst):
                    await publisher.send("chat", burst * cut + n, room_id="r")
                while len(got) < burst * (cut + 1):
                    await asyncio.sleep(0.005)
            assert client.stats.disconnects >= cuts
        assert got == list(range(cuts * burst))
        assert gaps == []
        assert list(used) == list(transports[:2])
