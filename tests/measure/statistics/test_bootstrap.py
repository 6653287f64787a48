from __future__ import annotations

import numpy as np
import pytest

from rtlab.measure.statistics.bootstrap import bootstrap_mean


def test_the_interval_covers_the_mean_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for run in range(400):
        groups = [rng.exponential(1.0, size=n) + rng.normal(0, 0.5) for n in rng.integers(1, 6, size=60)]
        sums = np.array([group.sum() for group in groups])
        counts = np.array([len(group) for group in groups])
        low, high = bootstrap_mean(sums, counts, seed=run)
        covered += low <= 1.0 <= high
    assert 0.90 <= covered / 400 <= 0.98


def test_samples_that_come_together_are_drawn_together():
    """Ten equal samples in a group say no more than one: the interval is as wide."""
    values = np.random.default_rng(2).normal(size=50)
    one = bootstrap_mean(values, np.ones(50, np.int64))
    ten = bootstrap_mean(values * 10, np.full(50, 10))
    assert ten == pytest.approx(one)


@pytest.mark.parametrize("counts", [[], [1], [1, 0]])
def test_groups_without_samples_are_refused(counts: list[int]):
    with pytest.raises(ValueError, match="for each group"):
        bootstrap_mean(np.array([1.0, 2.0]), np.array(counts, np.int64))
