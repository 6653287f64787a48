"""WebRTC through the relay: what a loss becomes in each kind of channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtlab.lab import Lab
from rtlab.transports.webrtc import WebRTCChannel


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True, seed=3) as lab:
        yield lab


async def feed(channel: WebRTCChannel, count: int) -> list[int]:
    """Ask for `count` messages; which arrive, in their order, until none came for a second."""
    got: list[int] = []
    channel.on("feed", lambda message: got.append(message.payload["n"]))
    await channel.request("feed", {"rate": 400, "size": 100, "count": count, "process": "fixed"})
    seen = -1
    while len(got) < count and seen != len(got):
        seen = len(got)
        await asyncio.sleep(1.0)
    return got


async def test_a_reliable_channel_delays_and_an_unreliable_one_loses(lab: Lab) -> None:
    udp = await lab.faults.udp(seed=3)
    try:
        lost: dict[bool, int] = {}
        for reliable in (True, False):
            how = {} if reliable else {"ordered": False, "max_retransmits": 0}
            async with WebRTCChannel(lab.url, relay=udp.relay, **how) as channel:
                async with udp.loss(0.1):
                    got = await feed(channel, 200)
                lost[reliable] = 200 - len(got)
                if reliable:
                    assert got == list(range(200))
        assert lost[True] == 0
        assert lost[False] > 0
        trace = await udp.trace()
        assert (trace.kind == "affected").sum() >= lost[False]
    finally:
        await udp.close()
