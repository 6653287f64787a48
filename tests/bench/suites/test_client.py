from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtlab.bench.suites import client as bench_client
from rtlab.lab.lab import Lab

TIMEOUT = 60.0


async def test_both_clients_talk_to_one_server_in_turns(monkeypatch: pytest.MonkeyPatch):
    """With few messages: the numbers say nothing here, the way they come about does."""
    monkeypatch.setattr(bench_client, "REPEATS", 2)
    monkeypatch.setattr(bench_client, "ROUND_TRIPS", 5)
    monkeypatch.setattr(bench_client, "PIPELINED", 50)
    started: list[dict[str, Any]] = []

    async def start_lab(**options: Any) -> Lab:
        started.append(options)
        return await Lab.start(**options)

    async with asyncio.timeout(TIMEOUT):
        trip, bare, rival = await bench_client.run(start_lab)
    assert started == [{}]  # one server, which compresses nothing
    assert Lab.running() == []
    assert (trip.unit, trip.peer) == ("µs", "websockets")
    assert (bare.unit, bare.peer, rival.peer) == ("msg/s", "websockets", "python-socketio")
    assert bare.value == rival.value
    for row in (trip, bare, rival):
        assert row.peer_value is not None
        assert row.ratio == pytest.approx(row.value / row.peer_value)
        assert row.spread is not None
