"""Batching: the closed forms against a batcher that is played message by message."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtlab.models.batching import batch_delay, batch_size, loaded_delay, throughput_cap, tick_delay


def play(rate: float, wait: float, limit: float, n: int, seed: int) -> tuple[float, float]:
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n)).tolist()
    batches, delays, batch = 0, 0.0, []
    for at in arrivals:
        if batch and at > batch[0] + wait:
            delays += sum(batch[0] + wait - a for a in batch)
            batches, batch = batches + 1, []
        batch.append(at)
        if len(batch) >= limit:
            delays += sum(at - a for a in batch)
            batches, batch = batches + 1, []
    handled = n - len(batch)
    return handled / batches, delays / handled


@pytest.mark.parametrize(
    ("rate", "wait", "limit"),
    [
        (200, 0.05, 10),
        (20, 0.05, 10),
        (200, 0.05, math.inf),
        (50, math.inf, 8),
        (1000, 0.05, 1),
        (500, 0.1, 60),
    ],
)
def test_it_agrees_with_a_simulation(rate: float, wait: float, limit: float) -> None:
    size, delay = play(rate, wait, limit, 200_000, seed=2)
    assert size == pytest.approx(batch_size(rate, wait, limit), rel=0.01)
    assert delay == pytest.approx(batch_delay(rate, wait, limit), rel=0.01)


def test_the_limits_of_the_sums_are_the_closed_forms() -> None:
    assert batch_size(200, 0.05, 500) == pytest.approx(batch_size(200, 0.05))
    assert batch_delay(200, 0.05, 500) == pytest.approx(batch_delay(200, 0.05))
    assert batch_size(200, 1e6, 9) == batch_size(200, math.inf, 9) == 9
    assert batch_delay(200, math.inf, 9) == pytest.approx(8 / 400)
    assert batch_delay(20_000, 10.0, 5_000) == pytest.approx(4_999 / 40_000)


def test_a_lone_message_waits_all_of_t_and_under_a_tick_half() -> None:
    assert batch_delay(1e-6, 0.05, 10) == pytest.approx(0.05)
    assert tick_delay(0.05) == 0.025


@pytest.mark.parametrize("bad", [(0, 1, 2), (math.inf, 1, 2), (1, 0, 2), (1, 1, 0), (1, math.inf, math.inf)])
def test_what_makes_no_sense_is_refused(bad: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        batch_delay(*bad)


def test_a_capped_frame_and_a_pause_cap_the_throughput() -> None:
    assert throughput_cap(16, 0.1) == pytest.approx(160)
    with pytest.raises(ValueError, match="write_delay > 0"):
        throughput_cap(16, 0)


def test_a_loaded_server_without_batching_is_an_m_d_1_queue_and_with_it_may_be_quicker() -> None:
    costs = {"per_frame": 0.0009, "per_message": 0.0001}
    assert loaded_delay(900, 0, **costs) == pytest.approx(0.001 + 0.9 / (2 * 1000 * 0.1))
    assert loaded_delay(1000, 0, **costs) == math.inf
    assert loaded_delay(1000, 0.005, **costs) < 0.006
    # Idle, a wait only adds: T, the whole of it.
    assert loaded_delay(0.001, 0.005, **costs) == pytest.approx(0.006, rel=1e-3)
