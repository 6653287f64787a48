"""Queueing: waits, losses and ages against queues that are played message by message."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest

from rtlab.models import queue_length_and_loss as queueing

MU = 100.0


def waits(rate: float, n: int, seed: int) -> np.ndarray:
    gaps = np.random.default_rng(seed).exponential(1 / rate, n)
    out, wait = np.empty(n), 0.0
    for i, gap in enumerate(gaps):  # Lindley's recursion, service 1/μ
        wait = max(0.0, wait + 1 / MU - gap)
        out[i] = wait
    return out


@pytest.mark.parametrize("rate", [30.0, 60.0, 80.0])
def test_waits_agree_with_a_simulation(rate: float) -> None:
    mean = waits(rate, 400_000, seed=8).mean()
    assert mean == pytest.approx(queueing.queue_wait(rate, MU), rel=0.03)
    assert rate * mean == pytest.approx(queueing.queue_length(rate, MU), rel=0.03)


def test_at_full_load_there_is_no_mean() -> None:
    np.testing.assert_array_equal(queueing.queue_wait([100, 150], MU), [math.inf, math.inf])
    np.testing.assert_array_equal(queueing.queue_length([0, 100], MU), [0, math.inf])


def test_an_overloaded_bounded_queue_fills_loses_and_ages_as_the_formulas_say() -> None:
    rate, bound = 150.0, 200
    arrivals = np.cumsum(np.random.default_rng(9).exponential(1 / rate, 60_000)).tolist()
    ends: deque[float] = deque()
    lost, full_at, free_at, ages = 0, math.inf, 0.0, []
    for at in arrivals:
        while ends and ends[0] <= at:
            ends.popleft()
        if len(ends) > bound:  # one in service, `bound` waiting
            lost, full_at = lost + 1, min(full_at, at)
            continue
        ages.append(max(free_at, at) - at)
        free_at = max(free_at, at) + 1 / MU
        ends.append(free_at)
    assert full_at == pytest.approx(queueing.time_to_fill(rate, MU, bound), rel=0.2)
    # The queue fills once; from then on this share is lost.
    late = len(arrivals) - rate * full_at
    assert lost / late == pytest.approx(queueing.loss_share(rate, MU), rel=0.02)
    assert max(ages) == pytest.approx(queueing.queued_age(MU, bound), abs=1.5 / MU)


def test_conflation_bounds_the_age_by_the_keys() -> None:
    rng, keys, now, latest = np.random.default_rng(10), 20, 0.0, {}
    turn, ages = deque[int](), []
    for at in np.cumsum(rng.exponential(1 / 1000.0, 50_000)):
        while turn and now <= at:  # the consumer takes the next waiting key
            key = turn.popleft()
            ages.append(now - latest.pop(key))
            now += 1 / MU
        now = max(now, at) if not turn else now
        key = int(rng.integers(keys))
        if key not in latest:
            turn.append(key)
        latest[key] = at  # the age of a waiting key starts again with each value
    assert max(ages) <= queueing.conflated_age(MU, keys) + 1e-9


def test_a_queue_that_keeps_up_loses_and_fills_nothing() -> None:
    assert queueing.loss_share(50, MU) == 0
    assert queueing.growth_rate(50, MU) == 0
    assert queueing.growth_rate(150, MU) == 50
    assert queueing.time_to_fill(50, MU, 10) == math.inf
    assert queueing.time_to_catch_up(10, 150, MU) == math.inf
    assert queueing.time_to_catch_up(10, 50, MU) == 0.2


@pytest.mark.filterwarnings("error")
def test_at_the_edges_the_values_are_exact_and_without_a_warning() -> None:
    assert queueing.time_to_catch_up(0, 150, MU) == 0
    np.testing.assert_array_equal(
        queueing.time_to_catch_up([0, 1, 1], [150, 150, 50], MU), [0, math.inf, 0.02]
    )
    np.testing.assert_array_equal(queueing.time_to_fill([50, 150], MU, 0), [0, 0])
    np.testing.assert_array_equal(queueing.loss_share([0, 50, 200], MU), [0, 0, 0.5])
    assert queueing.loss_share(0, 0) == 0
    assert queueing.queue_wait(50, 0) == math.inf
    np.testing.assert_array_equal(queueing.queued_age(0, [0, 10]), [0, math.inf])
    assert queueing.conflated_age(0, 3) == math.inf
