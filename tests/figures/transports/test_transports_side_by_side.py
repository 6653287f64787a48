from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import StepPatch

from rtlab.figures.chart_style.palette import TRANSPORT_COLORS
from rtlab.figures.transports.transports_side_by_side import comparison_figure

COLUMNS = ["connect_p50_ms", "push_bytes", "send_bytes", "client_cpu_ms", "server_cpu_ms"]


def test_it_draws_what_it_is_given():
    frame = pd.DataFrame([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], index=["websocket", "sse"], columns=COLUMNS)
    transits = {"websocket": np.array([0.2, 0.1, np.nan]), "sse": np.array([])}
    chart = comparison_figure(frame, transits, about="direct")
    assert repr(chart) == "<Chart: websocket, sse compared: direct>"
    websocket, sse, connect, _, cpu = chart.axes
    assert websocket.get_xlim() == sse.get_xlim()
    (steps,) = websocket.patches
    assert isinstance(steps, StepPatch)
    assert sum(steps.get_data().values) == 100
    assert steps.get_facecolor()[:3] == to_rgb(TRANSPORT_COLORS["websocket"])
    (median,) = websocket.lines
    assert median.get_xdata() == pytest.approx([0.15, 0.15])
    assert not sse.patches
    assert [bar.get_height() for bar in connect.patches] == [1, 6]
    assert [bar.get_height() for bar in cpu.patches] == [4, 9, 5, 10]


def test_a_second_hump_stands_apart():
    frame = pd.DataFrame([[1, 2, 3, 4, 5]], index=["longpoll"], columns=COLUMNS)
    axes = comparison_figure(frame, {"longpoll": np.array([0.2] * 80 + [3.0] * 20)}, about="direct").axes[0]
    (steps,) = axes.patches
    assert isinstance(steps, StepPatch)
    assert sorted(steps.get_data().values)[-2:] == [20, 80]


def test_a_run_that_was_stopped_is_drawn_with_what_there_is():
    frame = pd.DataFrame([[np.nan] * 5], index=["sse"], columns=COLUMNS)
    chart = comparison_figure(frame, {"sse": np.array([])}, about="direct")
    assert chart.png()
    for bars in chart.axes[-3:]:
        assert [text.get_text() for text in bars.texts if "stopped" in text.get_text()]
        assert not len(bars.get_yticks())


def test_less_than_a_decade_has_no_crowd_of_minor_labels():
    frame = pd.DataFrame([[1, 2, 3, 4, 5]], index=["sse"], columns=COLUMNS)
    axes = comparison_figure(frame, {"sse": np.array([0.2, 0.5])}, about="direct").axes[0]
    assert not any(tick.label1.get_visible() for tick in axes.xaxis.get_minor_ticks())
