"""Reconnect: mean rates, residual delays, queues and rolling restarts, each played out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtlab.models import reconnect_load as reconnect

CAP = 30.0


def at_the_cap(jitter: str, shape: tuple[int, int]) -> np.ndarray:
    u = np.random.default_rng(6).random(shape)
    return CAP * {"none": np.ones_like(u), "full": u, "equal": 0.5 + u / 2}[jitter]


@pytest.mark.parametrize("jitter", ["none", "full", "equal"])
def test_rates_and_residual_delays_agree_with_a_renewal_process(jitter: reconnect.Jitter) -> None:
    clients, horizon = 4000, 40 * CAP
    attempts = np.cumsum(at_the_cap(jitter, (clients, 160)), axis=1)
    assert attempts[:, -1].min() > horizon
    late = (attempts > horizon / 2) & (attempts <= horizon)
    rate = late.sum() / (horizon / 2)
    assert rate == pytest.approx(reconnect.attempt_rate_at_cap(clients, CAP, jitter), rel=0.03)

    ends = np.random.default_rng(7).uniform(horizon / 2, horizon, clients)
    following = np.where(attempts > ends[:, None], attempts, np.inf).min(axis=1)
    residual = (following - ends).mean()
    assert residual == pytest.approx(reconnect.time_to_next_attempt(CAP, jitter), rel=0.05)


@pytest.mark.parametrize("window", [0.0, 2.0, 9.0, 10.0, 25.0])
def test_a_spread_of_n_over_mu_empties_the_queue(window: float) -> None:
    clients, capacity = 10_000, 1_000.0
    arrivals = window * (np.arange(clients) + 0.5) / clients
    served, free_at = np.empty(clients), 0.0
    for i, at in enumerate(arrivals):  # one server, a fixed service time, first come first served
        free_at = max(at, free_at) + 1 / capacity
        served[i] = free_at
    assert (served - arrivals).max() == pytest.approx(
        reconnect.longest_wait(clients, capacity, window), abs=2 / capacity
    )
    assert served[-1] == pytest.approx(reconnect.time_to_all_in(clients, capacity, window), abs=2 / capacity)


@pytest.mark.parametrize("nodes", [2, 3, 10, 50])
def test_a_rolling_restart_moves_more_clients_than_there_are(nodes: int) -> None:
    load, moved = np.ones(nodes), 0.0
    for node in range(nodes):
        leaving, load[node] = load[node], 0.0
        load[np.arange(nodes) != node] += leaving / (nodes - 1)
        moved += leaving
    assert load[0] == pytest.approx(reconnect.rolling_restart_first_node(nodes))
    assert load[-1] == 0
    assert moved / nodes == pytest.approx(reconnect.rolling_restart_reconnects(nodes))


def test_a_rolling_restart_of_many_nodes_tends_to_e_minus_one() -> None:
    assert reconnect.rolling_restart_first_node(1e6) == pytest.approx(math.e - 1, rel=1e-5)
    assert reconnect.rolling_restart_reconnects(1e6) == pytest.approx(math.e - 1, rel=1e-5)
    np.testing.assert_allclose(reconnect.rolling_restart_first_node([10]), [1.757], atol=5e-4)
