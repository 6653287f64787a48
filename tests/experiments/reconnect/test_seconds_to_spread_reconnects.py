from __future__ import annotations

import math

import pytest

from rtlab.experiments.reconnect.seconds_to_spread_reconnects import spread_window
from rtlab.models import reconnect_load as reconnect


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
