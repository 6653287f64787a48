from __future__ import annotations

import numpy as np
import pytest

from rtlab.measure.statistics.ks_distance import ks_bound, ks_distance
from rtlab.models.detection_time_distribution import Uniform


def test_the_distance_is_the_widest_gap_above_or_below() -> None:
    law = Uniform(0, 1).cdf
    assert ks_distance([0.5], law) == 0.5
    assert ks_distance([0.9, 0.8], law) == pytest.approx(0.8)  # the law runs ahead
    assert ks_distance([0.1, 0.2], law) == pytest.approx(0.8)  # the samples do
    assert ks_distance([2.0, 3.0], law) == 1


def test_what_a_late_clock_leaves_open_is_not_held_against_a_law() -> None:
    law = Uniform(0, 1).cdf
    moments = np.linspace(0.05, 0.95, 10)
    seen = np.where((moments > 0.3) & (moments < 0.7), 0.7, moments)  # a stall, and its end
    earliest = np.where(seen == 0.7, 0.3, seen)
    assert ks_distance(seen, law) > 0.3
    assert ks_distance(seen, law, earliest) == pytest.approx(ks_distance(moments, law))
    assert ks_distance(seen, Uniform(1, 2).cdf, earliest) > 0.9


def test_the_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    bound = ks_bound(50, alpha=0.05)
    beyond = np.mean([ks_distance(rng.random(50), Uniform(0, 1).cdf) > bound for _ in range(4_000)])
    assert 0.03 < beyond <= 0.055
