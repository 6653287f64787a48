"""WebRTC through the relay: what a loss becomes in each kind of channel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.lab.lab import Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True, seed=3) as lab:
        yield lab


async def feed(channel: WebRTCChannel, count: int, patience: float) -> list[int]:
    """Ask for `count` messages; which arrive, in their order, until none came for so many seconds."""
    got: list[int] = []
    channel.on("feed", lambda message: got.append(message.payload["n"]))
    await channel.send("feed", {"rate": 400, "size": 100, "count": count, "process": "fixed"})
    seen, since = 0, time.monotonic()
    while len(got) < count and time.monotonic() - since < patience:
        await asyncio.sleep(0.05)
        if seen != len(got):
            seen, since = len(got), time.monotonic()
    return got


async def test_a_reliable_channel_delays_and_an_unreliable_one_loses(lab: Lab) -> None:
    async with await lab.faults.udp(seed=3) as udp:
        lost: dict[bool, int] = {}
        for reliable in (True, False):
            how = {} if reliable else {"ordered": False, "max_retransmits": 0}
            async with WebRTCChannel(lab.url, relay=udp.relay, **how) as channel:
                async with udp.loss(0.1):
                    # A repetition that is lost too waits for SCTP's timer: 1 s, 2 s, 4 s.
                    got = await feed(channel, 200, patience=20.0 if reliable else 1.5)
                lost[reliable] = 200 - len(got)
                if reliable:
                    assert got == list(range(200))
        assert lost[True] == 0
        assert lost[False] > 0
        trace = await udp.trace()
        assert (trace.kind == "affected").sum() >= lost[False]


async def test_a_relay_that_is_entered_is_not_made_anew(lab: Lab) -> None:
    udp = await lab.faults.udp(seed=3)
    port = udp.port
    async with udp:
        assert udp.port == port
