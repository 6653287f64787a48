from __future__ import annotations

import pytest

from rtlab.figures.transports.equivalence import equivalence_figure
from rtlab.measure.statistics.equivalence import equivalence

BASE = [1.0, 1.1, 0.9, 1.2, 1.0, 1.1]


def test_an_interval_that_is_narrow_against_the_margin_is_seen_enlarged():
    near, far = [v + 0.03 + i / 1000 for i, v in enumerate(BASE)], [v + 5 for v in BASE]
    claim = equivalence(near, BASE, 1.0, names=("sse", "websocket"))
    control = equivalence(far, near, 1.0, names=("sse + 5 ms", "sse"))
    runs = [[a - b for a, b in zip(*pair, strict=True)] for pair in ((near, BASE), (far, near))]
    whole, left, right = equivalence_figure(claim, control, runs[0], runs[1]).axes
    low, high = whole.get_xlim()
    assert low <= -1
    assert high >= 5
    low, high = left.get_xlim()
    assert high - low < 0.1
    assert "to" not in right.get_title(loc="left")
    assert left.lines[-2].get_xdata() == pytest.approx(runs[0])
    assert [label.get_text() for label in whole.get_yticklabels()] == ["sse + 5 ms − sse", "sse − websocket"]
