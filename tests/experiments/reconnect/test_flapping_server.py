from __future__ import annotations

import pytest

from rtlab.experiments.reconnect.flapping_server import attempts_by_uptime_rule
from rtlab.policies.backoff import PRESETS


def test_resetting_on_open_makes_a_hot_loop_of_an_accept_then_close_server() -> None:
    counts = attempts_by_uptime_rule(PRESETS["full_jitter"], lifetime=0.1, duration=60.0)  # type: ignore[arg-type]
    assert set(counts) == {0.0, 5.0}
    # Mean cycle: 0.1 s of life and 0.25 s of delay.
    assert counts[0.0] == pytest.approx(60 / 0.35, rel=0.03)
    assert counts[5.0] < 12
