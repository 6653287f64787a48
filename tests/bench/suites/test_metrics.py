"""The benchmark of being watched measures what it says, on a small scale."""

from __future__ import annotations

import pytest

from rtlab.bench.suites import metrics
from rtlab.lab.lab import Lab


async def test_both_servers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REPEATS", 6)  # the fewest that have a 95 % interval
    monkeypatch.setattr(metrics, "READERS", (2,))
    monkeypatch.setattr(metrics, "DELIVERIES", {2: 20})
    (row,) = await metrics.run(Lab.start)
    assert (row.unit, row.peer) == ("µs", "not counting")
    assert row.value > 0
    assert row.ratio is not None
    assert (row.at_most, row.holds) == (1.03, row.ratio <= 1.03)
