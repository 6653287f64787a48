from __future__ import annotations

import numpy as np

from rtlab.experiments.transports.connect_round_trips import ConnectTimeFit
from rtlab.figures.transports.connect_time import connect_phases_figure, connect_time_figure


def test_the_line_is_drawn_as_it_was_fitted():
    line = ConnectTimeFit(np.array([0.0, 10.0]), np.array([1.0, 21.0]), slope=2.0, base_ms=1.0)
    (axes,) = connect_time_figure({"sse": line}).axes
    (drawn,) = axes.lines
    assert list(drawn.get_ydata()) == [1.0, 21.0]
    assert axes.get_title(loc="left") == "sse: 2.0 · RTT"


def test_equal_lines_do_not_hide_each_other():
    line = ConnectTimeFit(np.array([0.0, 10.0]), np.array([1.0, 21.0]), slope=2.0, base_ms=1.0)
    first, second = connect_time_figure({"sse": line, "websocket": line}).axes
    assert len(first.lines) == len(second.lines) == 1
    assert first.get_ylim() == second.get_ylim()


def test_the_steepest_line_is_inside_its_axes():
    near, far = (
        ConnectTimeFit(np.array([0.0, 10.0]), np.array([0.0, y]), slope=y / 10, base_ms=0.0) for y in (20, 90)
    )
    low, high = connect_time_figure({"sse": near, "webrtc": far}).axes[1].get_ylim()
    assert low == 0
    assert high >= 90


def test_phases_follow_each_other():
    (axes,) = connect_phases_figure({"signalling": 2.0, "DTLS": 1.5}).axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0.0, 2.0), (2.0, 1.5)]
    assert [text.get_text() for text in axes.texts] == ["signalling: 2.0", "DTLS: 1.5"]
