from __future__ import annotations

import asyncio

import pytest

from rtlab.experiments.transports.connect_round_trips import connect_round_trips
from rtlab.figures.chart_style.matplotlib_style import Chart
from rtlab.lab.lab import Lab

TIMEOUT = 60.0


@pytest.mark.calm
async def test_connecting_takes_k_round_trips():
    async with asyncio.timeout(TIMEOUT), Lab(faults=True) as lab:
        trips = await connect_round_trips(lab, rtts_ms=(0, 40, 80), repeats=3)
    # TCP's handshake and one request; WebRTC also ICE, DTLS and SCTP.
    assert [trips.k(name) for name in ("websocket", "sse", "longpoll")] == [2, 2, 2]
    assert trips.k("webrtc") >= 2 + 4
    assert list(trips.frame.columns) == ["round_trips", "base_ms"]
    assert "websocket 2" in repr(trips)
    assert isinstance(trips.plot(), Chart)


async def test_one_distance_makes_no_line():
    async with Lab(faults=True) as lab:
        with pytest.raises(ValueError, match="two different"):
            await connect_round_trips(lab, rtts_ms=(10, 10))
