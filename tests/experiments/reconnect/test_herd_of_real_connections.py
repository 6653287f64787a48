"""Real connections against a real server that is killed and restarted."""

from __future__ import annotations

import asyncio
import resource

import numpy as np
import pytest

from rtlab.client.transports.websocket_transport import WebSocketTransport
from rtlab.errors import ConnectFailed, LabError
from rtlab.experiments.reconnect.herd_of_real_connections import real_herd
from rtlab.experiments.reconnect.herd_result import HerdRun
from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Backoff, Constant, FullJitter, Table

pytestmark = pytest.mark.alone


async def storm(policy: Backoff, clients: int, *, outage: float = 0.5, duration: float = 30.0) -> HerdRun:
    async with Lab() as lab:
        url = lab.ws_url
        return await real_herd(
            lambda: WebSocketTransport(url),
            policy,
            kill=lab.kill,
            restart=lab.restart,
            clients=clients,
            outage=outage,
            duration=duration,
            label="herd",
        )


async def test_a_thousand_real_connections_come_back() -> None:
    real = await storm(FullJitter(0.5, 4.0), 1_000, outage=1.5, duration=60.0)
    assert real.all_in is not None
    assert real.accepted.sum() == 1_000
    assert real.attempts.sum() == real.accepted.sum() + real.refused
    # First delays end after 0.5 s at most, and the server is away for three times as long: each is
    # refused once at least. How often beyond that depends on how busy the machine is.
    assert real.refused >= 1_000
    assert real.accepted[: int(real.outage / real.bin_width)].sum() == 0


async def test_real_connections_try_as_often_as_simulated_ones() -> None:
    # 200 clients, so that their process is not busy: chance alone is within 15 % (five standard errors).
    policy = FullJitter(0.5, 4.0)
    real = await storm(policy, 200, outage=1.0)
    scenario = Scenario(clients=200, capacity=real.capacity, outage=real.outage, duration=30.0)
    simulated = simulate(policy, scenario, seed=1, label="herd")
    assert real.attempts_per_client == pytest.approx(simulated.attempts_per_client, rel=0.2)


async def test_a_herd_without_jitter_comes_in_spikes() -> None:
    real = await storm(Constant(1.0), 100, outage=1.5)
    assert real.all_in is not None
    busy = np.flatnonzero(real.attempts)
    assert len(busy) <= 3 * round(real.all_in)  # of four bins a second, most are empty


async def test_clients_that_give_up_are_counted_and_leave_nothing_behind() -> None:
    before = asyncio.all_tasks()
    real = await storm(Table((0.05,), max_attempts=2), 50, outage=1.0, duration=3.0)
    assert (real.gave_up, real.all_in, real.accepted.sum(), real.attempts.sum()) == (50, None, 0, 100)
    assert asyncio.all_tasks() == before


async def test_a_herd_that_cannot_gather_says_why_and_restores_the_limit() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def restart() -> None:
        raise AssertionError("not reached")

    with pytest.raises(ConnectFailed, match="nothing listens"):
        await real_herd(
            lambda: WebSocketTransport("ws://127.0.0.1:1/ws"),
            Constant(1.0),
            kill=lambda: None,
            restart=restart,
            clients=3,
        )
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


async def test_more_clients_than_descriptors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 200))

    async def restart() -> None:
        raise AssertionError("not reached")

    with pytest.raises(LabError, match="expected 1,256 open descriptors"):
        await real_herd(
            lambda: WebSocketTransport("ws://127.0.0.1:1/ws"),
            Constant(1.0),
            kill=lambda: None,
            restart=restart,
            clients=1_000,
        )
