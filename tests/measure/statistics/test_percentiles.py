from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.measure.statistics.percentiles import percentiles

QS = (0, 50, 95, 99, 100)


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=200))
def test_they_are_numpys_own_and_nan_is_left_out(values: list[float]) -> None:
    known = [value for value in values if not math.isnan(value)]
    expected = np.percentile(known, QS).tolist() if known else [math.nan] * len(QS)
    assert percentiles(np.array(values), QS) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_what_is_no_percentage_is_refused() -> None:
    with pytest.raises(ValueError, match="percentages from 0 to 100"):
        percentiles(np.array([1.0]), (101,))
