from __future__ import annotations

import math

import pytest

from rtlab.experiments.reconnect.rolling_restart_simulation import rolling_restart
from rtlab.models import reconnect_load as reconnect


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
