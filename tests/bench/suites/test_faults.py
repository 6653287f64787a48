"""The benchmark of the fault proxy measures what it says, on a small scale."""

from __future__ import annotations

import pytest

from rtlab.bench.suites import faults as bench_faults
from rtlab.lab.lab import Lab


async def test_every_number_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_faults, "REPEATS", 3)
    monkeypatch.setattr(bench_faults, "DELAYS_MS", (5,))
    monkeypatch.setattr(bench_faults, "RATES_KB_S", (1000,))
    monkeypatch.setattr(bench_faults, "BULK_BYTES", 8 * 1024 * 1024)
    monkeypatch.setattr(bench_faults, "CONNECTIONS", 200)
    results = {result.metric: result for result in await bench_faults.run(Lab.start)}
    assert list(results) == [
        "delay error at 5 ms",
        "bandwidth error at 1000 KB/s",
        "throughput without toxics",
        "connections at once",
    ]
    assert results["delay error at 5 ms"].value < 5  # a busy machine is late, but not by the delay itself
    assert results["bandwidth error at 1000 KB/s"].value < 50
    assert results["throughput without toxics"].ratio is not None
    assert results["connections at once"].value == 200
