"""Herds of real connections raced, each against a server of its own."""

from __future__ import annotations

import asyncio
import time

import pytest

from rtlab.errors import LabError
from rtlab.experiments.reconnect.backoff_race import herd_race
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Constant, FullJitter

pytestmark = pytest.mark.alone

POLICIES = {"constant": Constant(0.4), "full jitter": FullJitter(0.2, 1.0)}
LIMIT = {"handshake_rate": 40.0, "handshake_queue": 5}


async def test_each_policy_has_a_herd_and_all_fall_together():
    before, back = asyncio.all_tasks(), list[tuple[str, float]]()
    runs = await herd_race(
        POLICIES, **LIMIT, clients=20, duration=20.0, on_return=lambda *seen: back.append(seen)
    )
    assert list(runs) == list(POLICIES)
    for name, run in runs.items():
        assert run.all_in is not None
        assert run.refused > 20
        assert [seen for seen, _ in back].count(name) == 20
    assert max(at for _, at in back) - min(at for _, at in back) < 1.0
    assert asyncio.all_tasks() == before
    assert Lab.running() == []


async def test_a_stop_ends_all():
    before, stopped = asyncio.all_tasks(), asyncio.Event()
    race = asyncio.create_task(herd_race(POLICIES, **LIMIT, clients=20, outage=60.0, stopped=stopped))
    await asyncio.sleep(2.0)
    stopped.set()
    began = time.monotonic()
    async with asyncio.timeout(20):
        assert await race == {}
    assert time.monotonic() - began < 10  # on a loaded machine; the herds themselves end at once
    assert asyncio.all_tasks() == before
    assert Lab.running() == []


async def test_a_stop_does_not_wait_until_the_servers_have_started(monkeypatch: pytest.MonkeyPatch):
    async def never(lab: Lab, node: object) -> None:
        await asyncio.sleep(600)

    monkeypatch.setattr(Lab, "_ready", never)
    before, stopped = asyncio.all_tasks(), asyncio.Event()
    race = asyncio.create_task(herd_race(POLICIES, **LIMIT, clients=20, stopped=stopped))
    await asyncio.sleep(0.2)
    stopped.set()
    async with asyncio.timeout(20):
        assert await race == {}
    assert asyncio.all_tasks() == before
    assert Lab.running() == []


async def test_the_error_of_one_herd_comes_out_bare(monkeypatch: pytest.MonkeyPatch):
    async def fails(lab: Lab, node: int, **limits: object) -> None:
        raise LabError(f"node {node} does not start")

    monkeypatch.setattr(Lab, "restart", fails)
    with pytest.raises(LabError, match="does not start"):
        await herd_race(POLICIES, **LIMIT, clients=5, outage=0.1, stopped=asyncio.Event())
    assert Lab.running() == []
