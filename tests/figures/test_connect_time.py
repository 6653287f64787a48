from __future__ import annotations

import numpy as np

from rtlab.experiments.connect_round_trips import Line
from rtlab.figures.connect_time import connect_time_figure


def test_the_line_is_drawn_as_it_was_fitted():
    line = Line(np.array([0.0, 10.0]), np.array([1.0, 21.0]), slope=2.0, base_ms=1.0)
    (axes,) = connect_time_figure({"sse": line}).axes
    (drawn,) = axes.lines
    assert list(drawn.get_ydata()) == [1.0, 21.0]
    assert drawn.get_label() == "sse: 2.0 · RTT"
