"""The findings: computed from policies and servers, then compared with what the formulas say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtlab.experiments.reconnect.findings import (
    attempts_by_uptime_rule,
    rolling_restart,
    share_at_cap,
    spread_window,
    synchrony,
)
from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.models import reconnect
from rtlab.policies.backoff import PRESETS, Constant, Decorrelated, FullJitter


def test_the_jitter_of_socketio_vanishes_and_full_jitter_stays() -> None:
    shares = share_at_cap(PRESETS["socketio"], 5.0, 12)
    np.testing.assert_allclose(shares[:4], [0, 0, 0.3, 0.9], atol=0.01)
    assert np.all(shares[4:] == 1)
    assert np.all(share_at_cap(FullJitter(1.0, 5.0), 5.0, 12) == 0)


@pytest.mark.parametrize(("base", "cap", "atom"), [(1.0, 30.0, 0.38), (0.005, 2.0, 0.27)])
def test_decorrelated_jitter_has_an_atom(base: float, cap: float, atom: float) -> None:
    assert share_at_cap(Decorrelated(base, cap), cap, 60)[-1] == pytest.approx(atom, abs=0.01)


def test_a_herd_without_jitter_stays_in_lockstep() -> None:
    assert synchrony(Constant(3.0), 10) == 1
    assert synchrony(PRESETS["phoenix"], 10) == 1
    assert synchrony(PRESETS["full_jitter"], 10) < 0.02
    # Its early jitter is all that socket.io ever gets: later attempts spread no further.
    early, late = synchrony(PRESETS["socketio"], 4), synchrony(PRESETS["socketio"], 40)
    assert early == pytest.approx(late, rel=0.05)


def test_resetting_on_open_makes_a_hot_loop_of_an_accept_then_close_server() -> None:
    counts = attempts_by_uptime_rule(PRESETS["full_jitter"], lifetime=0.1, duration=60.0)  # type: ignore[arg-type]
    assert set(counts) == {0.0, 5.0}
    # Mean cycle: 0.1 s of life and 0.25 s of delay.
    assert counts[0.0] == pytest.approx(60 / 0.35, rel=0.03)
    assert counts[5.0] < 12


@pytest.mark.parametrize(("clients", "capacity"), [(10_000, 1_000.0), (5_000, 2_000.0)])
def test_a_window_of_n_over_mu_ends_the_queue_and_costs_nothing(clients: int, capacity: float) -> None:
    needed = clients / capacity
    for row in spread_window(
        [needed / 10, needed / 2, 1.2 * needed, 3 * needed], clients=clients, capacity=capacity
    ):
        # Random arrivals wander by about √N places.
        noise = 3 * math.sqrt(clients) / capacity
        assert row.longest_wait == pytest.approx(
            reconnect.longest_wait(clients, capacity, row.window), abs=noise
        )
        assert row.all_in == pytest.approx(reconnect.time_to_all_in(clients, capacity, row.window), abs=noise)


@pytest.mark.parametrize("nodes", [2, 10, 100])
def test_a_rolling_restart_agrees_with_its_formula(nodes: int) -> None:
    after = rolling_restart(nodes, clients=200_000)
    noise = 5 * math.sqrt(nodes / 200_000)
    assert after.loads[0] == pytest.approx(reconnect.rolling_restart_first_node(nodes), abs=noise)
    assert after.loads[-1] == 0
    assert after.loads.mean() == pytest.approx(1)
    assert after.reconnects == pytest.approx(reconnect.rolling_restart_reconnects(nodes), rel=0.01)
    if nodes == 100:
        assert after.reconnects == pytest.approx(math.e - 1, rel=0.02)


def test_a_rolling_restart_of_one_node_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 nodes"):
        rolling_restart(1)


@pytest.mark.parametrize("jitter", ["full", "equal", "none"])
def test_a_long_outage_shows_the_mean_rate_at_the_cap(jitter: reconnect.Jitter) -> None:
    name = {"full": "full_jitter", "equal": "equal_jitter", "none": "exponential"}[jitter]
    scenario = Scenario(clients=20_000, outage=599.0, duration=600.0, rtt=0.1)
    run = simulate(PRESETS[name], scenario)
    late = run.attempts[run.times > 300].sum() / 300
    # A refusal takes 0.1 s, so the cycle is a little longer than the delay.
    assert late == pytest.approx(reconnect.attempt_rate_at_cap(20_000, 30.0, jitter), rel=0.04)
