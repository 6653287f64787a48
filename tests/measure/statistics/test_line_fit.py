from __future__ import annotations

import numpy as np
import pytest

from rtlab.measure.statistics.line_fit import fit_line


def test_the_line_ignores_spoiled_points():
    rng = np.random.default_rng(7)
    x = np.repeat([0.0, 20.0, 40.0, 80.0], 5)
    y = 3.0 + 2.0 * x + rng.normal(0, 0.2, x.size)
    y[[3, 11]] += 500.0
    slope, base = fit_line(x, y)
    assert slope == pytest.approx(2.0, abs=0.05)
    assert base == pytest.approx(3.0, abs=1.0)
