"""``rtlab bench herd``: the speed of the reconnect simulation, and how well it predicts real connections."""

from __future__ import annotations

import time
from typing import Final

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.client.transports.websocket_transport import WebSocketTransport
from rtlab.experiments.reconnect.herd_of_real_connections import real_herd
from rtlab.experiments.reconnect.herd_result import HerdRun
from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.experiments.reconnect.optimistic_locking_contention import jitter_contention
from rtlab.policies.backoff import PRESETS, Backoff, FullJitter

__all__ = ["run"]

REPEATS: Final = 5
REAL_REPEATS: Final = 3
REAL_CLIENTS: Final = 1_000
SIMULATION_LIMIT: Final = 3.0

#: Backoff of the clients: its cap of 5 s fits an outage of a few seconds.
_POLICY: Final[Backoff] = FullJitter(0.5, 5.0)


def _simulation_seconds() -> float:
    began = time.perf_counter()
    simulate(PRESETS["full_jitter"], Scenario(clients=100_000, duration=60.0))
    return time.perf_counter() - began


async def _both(start_lab: StartLab, seed: int) -> tuple[HerdRun, HerdRun]:
    """Run one real herd, and simulate one with the same outage and capacity."""
    lab = await start_lab()
    try:
        url = lab.ws_url
        real = await real_herd(
            lambda: WebSocketTransport(url),
            _POLICY,
            kill=lab.kill,
            restart=lab.restart,
            clients=REAL_CLIENTS,
            seed=seed,
        )
    finally:
        await lab.stop()
    scenario = Scenario(
        clients=REAL_CLIENTS, capacity=real.capacity, outage=real.outage, duration=20.0, connect_timeout=5.0
    )
    return real, simulate(_POLICY, scenario, seed=seed)


def _all_in(pairs: list[tuple[HerdRun, HerdRun]]) -> Result:
    """Return the time until all clients were in; if some were not in a run, the shares that were."""
    real = [run.all_in for run, _ in pairs if run.all_in is not None]
    simulated = [run.all_in for _, run in pairs if run.all_in is not None]
    clients = f"{REAL_CLIENTS:,} real connections"
    if len(real) == len(simulated) == len(pairs):
        return Result.of("herd", f"{clients}, all in after", real, "s", "simulation", simulated)
    return Result.of(
        "herd",
        f"{clients}, in at the end (in some run not all were)",
        [100 * run.share_in for run, _ in pairs],
        "%",
        "simulation",
        [100 * run.share_in for _, run in pairs],
    )


async def run(start_lab: StartLab) -> list[Result]:
    """Time the simulation, and compare it with a thousand real connections.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server is killed and restarted.

    Returns
    -------
    list of Result
        Simulation time beside its limit; attempts, and time until all clients are connected (or, if they
        were not within a run's time, the share that were), real beside simulated; calls in Brooker's
        contention model with full jitter beside those without jitter.
    """
    speeds = [_simulation_seconds() for _ in range(REPEATS)]
    pairs = [await _both(start_lab, seed) for seed in range(REAL_REPEATS)]
    contention = [
        {row.policy: row.calls for row in jitter_contention([100], runs=3, seed=seed)}
        for seed in range(REPEATS)
    ]
    return [
        Result.of("herd", "100,000 clients × 60 s", speeds, "s", "limit", [SIMULATION_LIMIT]),
        Result.of(
            "herd",
            f"{REAL_CLIENTS:,} real connections, attempts each",
            [real.attempts_per_client for real, _ in pairs],
            "",
            "simulation",
            [simulated.attempts_per_client for _, simulated in pairs],
        ),
        _all_in(pairs),
        Result.of(
            "herd",
            "Brooker, N = 100, calls with full jitter",
            [calls["full jitter"] for calls in contention],
            "",
            "without jitter",
            [calls["exponential"] for calls in contention],
        ),
    ]
