from __future__ import annotations

import asyncio

import pytest

from rtlab.bench.idle_clients import gather_crowd, server_stats
from rtlab.bench.peers.bare_clients import BARE
from rtlab.bench.registry import BENCHES
from rtlab.bench.suites.transports import LIMIT_KIB, full_house, latencies
from rtlab.errors import LabError
from rtlab.lab.lab import Lab

TIMEOUT = 60.0


@pytest.mark.parametrize("transport", BARE)
async def test_both_sides_take_every_message(transport: str):
    async with asyncio.timeout(TIMEOUT), Lab(heartbeat=600) as lab:
        async with BARE[transport][0](lab.url) as take:
            for count in (5, 7):
                transits = await take(200, 100, count)
                assert len(transits) == count
                assert all(0 < seconds < 5 for seconds in transits)
        ours, bare = await latencies(lab.url, transport, repeats=2, count=10)
        assert len(ours) == len(bare) == 2
        assert min(ours + bare) > 0


async def test_one_client_of_many_is_small():
    """Memory does not depend on who else works on this machine, so the limit itself is tested."""
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        found = await full_house(lab, 500)
        assert set(found) == {"sse", "websocket"}
        # Fewer clients carry more of what the server takes once.
        assert all(5 < kib <= LIMIT_KIB for kib in found.values())


async def test_a_crowd_is_as_large_as_it_says():
    async with (
        asyncio.timeout(TIMEOUT),
        Lab() as lab,
        gather_crowd(lab.url, "sse", 30) as streams,
        gather_crowd(lab.url, "websocket", 20) as sockets,
    ):
        connections = (await server_stats(lab))["connections"]
        assert (connections["sse"], connections["websocket"]) == (30, 20)
        assert (len(streams), streams.alive) == (30, 30)
        assert sockets.alive == 20
        await streams.grow(lab.url, 5)
        assert streams.alive == 35
        lab.kill()
        async with asyncio.timeout(5):
            while streams.alive or sockets.alive:
                await asyncio.sleep(0.01)


async def test_a_full_server_turns_the_crowd_away():
    async with asyncio.timeout(TIMEOUT), Lab(max_connections=10) as lab:
        with pytest.raises(ExceptionGroup) as refused:
            async with gather_crowd(lab.url, "websocket", 11):
                pass
        assert refused.group_contains(LabError, match="expected HTTP/1.1 101")


def test_it_is_registered():
    assert "transports" in BENCHES
