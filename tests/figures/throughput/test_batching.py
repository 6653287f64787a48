"""Batching drawn: curves from the closed forms, marks from what came."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from rtlab.experiments.throughput.batched_server_simulation import play_window
from rtlab.figures.throughput.batching import adaptive_figure, loaded_figure, sweep_figure
from rtlab.policies.size_or_time_batching_windows import Adaptive


class Point(NamedTuple):
    rate: float
    wait: float
    limit: int
    per_frame: float
    delay: float


def test_each_window_has_a_curve_and_its_marks() -> None:
    points = [Point(rate, 0.05, limit, 2.0, 0.03) for rate in (20, 200) for limit in (5, 40)]
    chart: Any = sweep_figure(points, title="sweep")
    lines = chart.axes[1].lines
    assert [line.get_label() for line in lines[1::2]] == ["T 50 ms, B 5", "T 50 ms, B 40"]
    assert list(lines[1].get_ydata()) == [30, 30]
    assert lines[0].get_ydata().max() < 50
    assert repr(chart) == "<Chart: sweep: closed forms and 4 measurements>"


def test_a_server_that_cannot_keep_up_without_batching_has_no_point_there() -> None:
    chart: Any = loaded_figure([500, 1200], {500: {0.0: 0.0015}}, per_frame=0.0009, per_message=0.0001)
    curve, ring, dot, *heavy = chart.axes[0].lines
    assert ring.get_ydata()[0] == pytest.approx(1000 * (0.001 + 0.5 / (2 * 1000 * 0.5)))
    assert list(dot.get_ydata()) == [1.5]
    assert len(heavy) == 2  # its curve and its dots, and no ring
    assert np.isfinite(curve.get_ydata()).all()


def test_a_second_without_messages_leaves_a_gap() -> None:
    times = np.array([0.1, 0.2, 2.5])
    chart: Any = adaptive_figure(times, {"adaptive": play_window(Adaptive(target=0.02), times)}, target=0.02)
    delay = chart.axes[1].lines[0].get_ydata()
    assert np.isnan(delay).tolist() == [False, True, False]
