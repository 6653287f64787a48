"""``rtlab bench herd`` shows no time until all are in that nobody has measured."""

from __future__ import annotations

from unittest.mock import AsyncMock

import pytest

from rtlab.bench.results import Result
from rtlab.bench.suites import herd as bench_herd
from rtlab.experiments.reconnect.herd_result import HerdRun


def herd(accepted: list[float]) -> HerdRun:
    """Return a run of two clients that ended after 8 s."""
    return HerdRun.measured(
        "x",
        clients=2,
        capacity=1.0,
        outage=1.0,
        duration=8.0,
        bin_width=0.25,
        attempts=accepted,
        accepted=accepted,
        gave_up=0,
        longest_wait=0.1,
    )


async def all_in(monkeypatch: pytest.MonkeyPatch, real: HerdRun, simulated: HerdRun) -> Result:
    """Return the benchmark's row for these runs."""
    monkeypatch.setattr(bench_herd, "_both", AsyncMock(return_value=(real, simulated)))
    monkeypatch.setattr(bench_herd, "_simulation_seconds", lambda: 1.0)
    rows = await bench_herd.run(AsyncMock())
    contention = rows[3]
    assert contention.ratio is not None
    assert contention.ratio < 0.5  # the article: jitter saves more than half of the calls
    return rows[2]


async def test_the_time_is_that_of_the_last_client(monkeypatch: pytest.MonkeyPatch) -> None:
    row = await all_in(monkeypatch, herd([2.0, 3.0]), herd([2.0, 4.0]))
    assert (row.metric.endswith("all in after"), row.value, row.unit, row.peer_value) == (True, 3, "s", 4)


@pytest.mark.parametrize("late", ["real", "simulated"])
async def test_when_some_were_not_in_the_row_says_how_many_were(
    late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, half = herd([2.0, 3.0]), herd([2.0])
    row = await all_in(monkeypatch, *((half, whole) if late == "real" else (whole, half)))
    assert "in at the end" in row.metric
    assert (row.value, row.peer_value, row.unit) == ((50, 100, "%") if late == "real" else (100, 50, "%"))
