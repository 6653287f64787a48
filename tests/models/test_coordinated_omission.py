"""Closed loop against open loop: Tene's example, and a schedule that is played question by question."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.models.coordinated_omission import Loop, mean_latency, quantile_latency

TENE = (100, 100, 100, 0.001)


def play(loop: Loop, rate: float, normal: float, freeze: float, service: float) -> np.ndarray:
    """Ask question by question; the freeze begins after the normal time."""
    took: list[float] = []
    due = 0.0
    while due < normal + freeze:
        frozen = normal - service <= due < normal + freeze
        took.append(normal + freeze - due if frozen else service)
        due += max(1 / rate, took[-1]) if loop == "closed" else 1 / rate
    return np.array(took)


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_it_agrees_with_a_schedule_that_is_played(loop: Loop) -> None:
    seen = play(loop, 100, 20, 5, 0.001)
    assert mean_latency(loop, 100, 20, 5, 0.001) == pytest.approx(seen.mean(), rel=0.02)
    for q in (0.5, 0.75, 0.9, 0.99):
        assert quantile_latency(q, loop, 100, 20, 5, 0.001) == pytest.approx(np.quantile(seen, q), abs=0.02)


def test_tenes_numbers() -> None:
    assert mean_latency("closed", *TENE) == pytest.approx(0.011, abs=5e-4)
    assert quantile_latency(0.9999, "closed", *TENE) == 0.001
    assert mean_latency("open", *TENE) == pytest.approx(25, rel=1e-3)
    assert quantile_latency(0.75, "open", *TENE) == 50


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 <= q <= 1"):
        quantile_latency(1.1, "open", *TENE)
