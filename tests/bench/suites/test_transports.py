from __future__ import annotations

import asyncio

import pytest

from rtlab.bench.peers.bare_clients import BARE
from rtlab.bench.registry import BENCHES
from rtlab.bench.suites.transports import LIMIT_KIB, full_node, latencies
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
        found = await full_node(lab, 500)
        assert set(found) == {"sse", "websocket"}
        # Fewer clients carry more of what the server takes once.
        assert all(5 < kib <= LIMIT_KIB for kib in found.values())


def test_it_is_registered():
    assert "transports" in BENCHES
