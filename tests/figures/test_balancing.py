from __future__ import annotations

from typing import Any

from rtlab.figures.balancing import moved_figure, rolling_figure


def test_a_share_stands_beside_its_law():
    laws = {"ring": (33.3, 5.0), "remainder": (66.7, 5.0)}
    axes: Any = moved_figure({"ring": 30.0, "remainder": 70.0}, laws, about="x").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [30, 70]
    assert [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "d"] == [[33.3], [66.7]]


def test_each_run_has_a_panel_and_each_node_a_bar_for_each_step():
    runs = {"in turns": [[2, 2], [0, 4], [4, 0]], "spare": [[4, 0], [0, 4]]}
    panels: Any = rolling_figure(runs, {"in turns": [4.0, 0.0]}, about="x").axes
    left, right = panels
    assert [bar.get_height() for bar in left.patches] == [2, 0, 4, 2, 4, 0]
    assert [list(line.get_ydata()) for line in left.lines] == [[4], [0]]
    assert (len(right.patches), len(right.lines)) == (4, 0)
