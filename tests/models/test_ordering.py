from __future__ import annotations

import numpy as np
import pytest

from rtlab.models.ordering import ordered_wait, overtakes


@pytest.mark.parametrize("members", [2, 3, 5])
def test_the_closed_forms_agree_with_playing_it(members: int):
    interval, delay, count = 0.01, 0.3, 3000
    sent = np.arange(count) * interval
    slow = np.arange(count) % members == 0
    came = sent + np.where(slow, delay + 1e-9, 0)
    inside = np.flatnonzero(slow)[10:-200]
    passed = np.mean([np.sum(came[n + 1 : n + 200] < came[n]) for n in inside])
    assert passed == pytest.approx(float(overtakes(delay, interval, members)), rel=0.02)
    waits = (np.maximum.accumulate(came) - came)[~slow][100:]
    assert waits.mean() == pytest.approx(float(ordered_wait(delay, interval, members)), rel=0.01)
