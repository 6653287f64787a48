from __future__ import annotations

import numpy as np

from rtlab.figures.chart_style.palette import POLICY_COLORS
from rtlab.figures.reconnect.backoff import spread_figure, window_figure


def test_each_policy_is_a_line_and_relatives_share_a_colour():
    names = ["full jitter", "centrifuge", "socketio", "python-socketio"]
    figure = spread_figure({name: np.ones(5) for name in names}, title="Chance")
    lines = figure.axes[0].lines
    assert [line.get_color() for line in lines] == [POLICY_COLORS[name] for name in names]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--"]


def test_points_lie_over_their_model():
    windows = [1.0, 2.0]
    figure = window_figure(windows, {"wait": [3.0, 4.0]}, {"wait": lambda w: 2 + w}, enough=2.0, title="W")
    model, points = figure.axes[0].lines[:2]
    assert list(points.get_ydata()) == [3.0, 4.0]
    assert model.get_ydata()[-1] == 4.0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model: wait", "simulated: wait"]
