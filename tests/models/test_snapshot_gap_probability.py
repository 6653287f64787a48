from __future__ import annotations

import numpy as np
import pytest

from rtlab.models.snapshot_gap_probability import snapshot_gap_probability


def test_it_is_the_share_of_windows_into_which_a_change_falls() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.poisson(20 * 0.05, 100_000) > 0
    assert drawn.mean() == pytest.approx(float(snapshot_gap_probability(20, 0.05)), abs=0.005)


def test_it_goes_from_rate_times_window_to_one() -> None:
    assert snapshot_gap_probability(0.001, 0.1) == pytest.approx(1e-4, rel=1e-3)
    assert snapshot_gap_probability([0, 1000], 1).tolist() == [0, 1]
