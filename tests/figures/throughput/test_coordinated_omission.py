from __future__ import annotations

import numpy as np

from rtlab.figures.throughput.coordinated_omission import freeze_figure


def test_each_tester_has_a_panel_that_counts_the_slow_answers():
    due = np.array([0.0, 0.1, 0.5, 0.9])
    testers = {
        "closed loop": (np.array([0.0, 0.1, 1.1]), np.array([0.001, 1.0, 0.001])),
        "open loop": (due, np.array([0.001, 1.0, 0.6, 0.2])),
    }
    upper, lower = freeze_figure(testers, (0.1, 1.1)).axes
    assert upper.get_title(loc="left") == "closed loop: 1 of 3 answers took over 100 ms"
    assert lower.get_title(loc="left") == "open loop: 3 of 4 answers took over 100 ms"
    assert list(upper.lines[0].get_ydata()) == [1, 1000, 1]
    assert list(lower.lines[0].get_xdata()) == list(due)
