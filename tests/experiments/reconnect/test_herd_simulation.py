"""The herd: the vectorised simulation against one that handles a single event at a time."""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtlab.experiments.reconnect.herd_result import HerdRun
from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.models import reconnect_load as reconnect
from rtlab.policies.backoff import PRESETS, Backoff, Constant, FullJitter, Table

SMALL = Scenario(clients=400, capacity=100.0, backlog=40, outage=3.0, duration=40.0, connect_timeout=2.0)


def one_by_one(policy: Backoff, s: Scenario, seed: int) -> Counter[str]:
    """The same rules with a heap of events and one client at a time."""
    rng, out = np.random.default_rng(seed), Counter[str]()
    events = []
    for client in range(s.clients):
        delay = policy.delay(0, 0.0, rng)
        heapq.heappush(events, (delay, client, 0, delay))
    free_at = s.outage
    while events and events[0][0] < s.duration:
        at, client, retries, previous = heapq.heappop(events)
        out["attempts"] += 1
        if at < s.outage or (free_at - at) * s.capacity >= s.backlog:
            out["refused"] += 1
            failed = at + s.rtt
        else:
            free_at = max(free_at, at) + 1 / s.capacity
            if free_at - at <= s.connect_timeout:
                if free_at < s.duration:
                    out["connected"] += 1
                    out["last_ms"] = int(1000 * free_at)
                continue
            out["timed_out"] += 1
            failed = at + s.connect_timeout
        delay = policy.delay(retries + 1, previous, rng)
        heapq.heappush(events, (failed + delay, client, retries + 1, delay))
    return out


@pytest.mark.parametrize("name", ["full_jitter", "equal_jitter", "decorrelated", "websockets", "socketio"])
@pytest.mark.parametrize("backlog", [40, math.inf])
def test_it_agrees_with_a_simulation_of_single_events(name: str, backlog: float) -> None:
    scenario = replace(SMALL, backlog=backlog)
    runs = [simulate(PRESETS[name], scenario, seed=seed) for seed in range(8)]
    exact = [one_by_one(PRESETS[name], scenario, seed) for seed in range(100, 108)]
    for mine, theirs in (
        ([r.attempts.sum() for r in runs], [e["attempts"] for e in exact]),
        ([r.accepted.sum() for r in runs], [e["connected"] for e in exact]),
        ([r.refused for r in runs], [e["refused"] for e in exact]),
        ([r.timed_out for r in runs], [e["timed_out"] for e in exact]),
    ):
        # Eight runs each: means within 6 % of the clients, or of each other.
        assert np.mean(mine) == pytest.approx(np.mean(theirs), rel=0.06, abs=0.06 * scenario.clients)


def test_without_chance_it_agrees_exactly() -> None:
    scenario = replace(SMALL, clients=30, backlog=math.inf)
    policy = Table(tuple(0.11 * n for n in range(1, 40)))
    exact, run = one_by_one(policy, scenario, 1), simulate(policy, scenario)
    assert run.attempts.sum() == exact["attempts"]
    assert run.refused == exact["refused"]
    assert run.accepted.sum() == exact["connected"] == 30
    assert run.all_in == pytest.approx(exact["last_ms"] / 1000, abs=0.002)


def test_arrivals_within_one_step_are_served_one_after_the_other() -> None:
    # Nobody fails, so that both draw the same first delays, and agree to the last digit.
    scenario = Scenario(clients=50, capacity=8.0, outage=0.0, rtt=1.0)
    policy = FullJitter(6.0, 6.0)
    run, exact = simulate(policy, scenario, seed=3), one_by_one(policy, scenario, 3)
    assert run.refused == run.timed_out == 0
    assert run.all_in == pytest.approx(exact["last_ms"] / 1000, abs=0.001)
    idle = simulate(policy, replace(scenario, capacity=1e6, duration=10.0), seed=3)
    assert idle.longest_wait == pytest.approx(1e-6, rel=1e-3)


def test_every_attempt_has_one_outcome() -> None:
    for name, policy in PRESETS.items():
        run = simulate(policy, replace(SMALL, duration=400.0), label=name)
        assert run.attempts.sum() == run.accepted.sum() + run.refused + run.timed_out, name
        assert run.accepted.sum() + run.gave_up == SMALL.clients, name
        assert (run.all_in is None) == (run.gave_up > 0), name


def test_the_same_seed_gives_the_same_run() -> None:
    def curves(run: HerdRun) -> list[int]:
        return [*run.attempts.tolist(), *run.accepted.tolist()]

    first = curves(simulate(PRESETS["full_jitter"], SMALL, seed=7))
    assert first == curves(simulate(PRESETS["full_jitter"], SMALL, seed=7))
    assert first != curves(simulate(PRESETS["full_jitter"], SMALL, seed=8))


def test_the_server_never_accepts_more_than_its_capacity() -> None:
    run = simulate(Constant(0.5), replace(SMALL, clients=2_000))
    assert run.accepted.max() <= SMALL.capacity * SMALL.bin_width + 1
    assert run.accepted[: int(SMALL.outage / SMALL.bin_width)].sum() == 0


def test_nobody_waits_longer_than_the_queue_or_the_timeout() -> None:
    run = simulate(FullJitter(1, 1), replace(SMALL, connect_timeout=10.0))
    assert run.longest_wait <= (SMALL.backlog + 1) / SMALL.capacity + SMALL.rtt
    assert run.refused > 0
    run = simulate(FullJitter(1, 1), replace(SMALL, backlog=math.inf))
    assert 1.5 < run.longest_wait <= SMALL.connect_timeout
    assert run.timed_out > 0


def test_a_policy_is_asked_for_somebody_only() -> None:
    class Asked(FullJitter):
        def delay(self, attempt: Any, previous: Any, rng: np.random.Generator) -> Any:
            seen.append(len(attempt))
            assert len(previous) == len(attempt)
            return super().delay(attempt, previous, rng)

    for lifetime in (math.inf, 1.0):  # of a step all are late, or some, or nobody
        seen: list[int] = []
        run = simulate(Asked(1, 1), replace(SMALL, backlog=math.inf, lifetime=lifetime))
        assert run.timed_out > 0
        assert seen[0] == SMALL.clients
        assert min(seen) > 0


def test_clients_that_give_up_stop_trying() -> None:
    run = simulate(PRESETS["signalr"], replace(SMALL, outage=59.0, duration=60.0))
    assert (run.gave_up, run.attempts.sum(), run.all_in) == (400, 4 * 400, None)
    assert simulate(Constant(1, max_attempts=0), SMALL).gave_up == 400


@pytest.mark.alone
def test_a_hundred_thousand_clients_take_at_most_three_seconds() -> None:
    def seconds() -> float:
        start = time.process_time()  # others' work on this machine does not count
        simulate(PRESETS["full_jitter"], Scenario(clients=100_000, duration=60.0))
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) <= 3.0


def test_its_repr_says_what_was_paid() -> None:
    run = simulate(Constant(1.0), SMALL, label="every second")
    assert repr(run).startswith("<HerdRun every second, simulated: 400 clients, all in after ")
    assert "attempts each" in repr(run)


@pytest.mark.parametrize(
    "bad",
    [{"clients": 0}, {"capacity": 0}, {"backlog": -1}, {"outage": 60.0}, {"duration": math.inf}, {"rtt": 0}],
)
def test_a_bad_scenario_says_what_was_expected(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Scenario(**bad)


@pytest.mark.parametrize("jitter", ["full", "equal", "none"])
def test_a_long_outage_shows_the_mean_rate_at_the_cap(jitter: reconnect.Jitter) -> None:
    name = {"full": "full_jitter", "equal": "equal_jitter", "none": "exponential"}[jitter]
    scenario = Scenario(clients=20_000, outage=599.0, duration=600.0, rtt=0.1)
    run = simulate(PRESETS[name], scenario)
    late = run.attempts[run.times > 300].sum() / 300
    # A refusal takes 0.1 s, so the cycle is a little longer than the delay.
    assert late == pytest.approx(reconnect.attempt_rate_at_cap(20_000, 30.0, jitter), rel=0.04)
