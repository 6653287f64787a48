from __future__ import annotations

import numpy as np

from rtlab.figures.chart_style.palette import OVERFLOW_COLORS, color_of
from rtlab.figures.throughput.backpressure import queue_wait_figure, stall_figure
from rtlab.policies.drop_or_conflate_on_overflow import POLICY_NAMES


def test_every_policy_has_a_line_in_its_colour_over_the_model():
    points = {name: np.array([[0, 0], [1, index]]) for index, name in enumerate(POLICY_NAMES)}
    chart = stall_figure(points, points, (0.2, 0.8), np.array([[0, 0], [1, 12]]), "a stall")
    above, below = chart.axes
    assert [line.get_label() for line in above.lines] == [*POLICY_NAMES, "λ·t, up to the bound"]
    assert [line.get_color() for line in below.lines] == [OVERFLOW_COLORS[name] for name in POLICY_NAMES]


def test_a_live_plot_colours_policies_as_the_figure_does():
    assert [color_of(name, 1) for name in POLICY_NAMES] == [OVERFLOW_COLORS[name] for name in POLICY_NAMES]


def test_a_run_that_was_stopped_leaves_the_law_and_the_simulation():
    def law(load):
        return load

    (axes,) = queue_wait_figure(law, [(0.5, 0.5)], (0.8, 2.1), "waits").axes
    assert [line.get_label() for line in axes.lines] == ["ρ / (2(1 − ρ))", "simulated", "measured"]
    (axes,) = queue_wait_figure(law, [(0.5, 0.5)], None, "waits").axes
    assert len(axes.lines) == 2
