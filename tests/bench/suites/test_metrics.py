"""The benchmark of being watched measures what it says, on a small scale."""

from __future__ import annotations

import os

import pytest

from rtlab.bench.asyncio_room_readers import gather_readers
from rtlab.bench.server_with_metrics_switch import COUNT, DO_NOT_COUNT
from rtlab.bench.suites import metrics
from rtlab.lab.fetch_prometheus_page import MetricsReader
from rtlab.lab.lab import Lab
from rtlab.processes.start_child_process import Child


async def test_the_server_is_measured_while_it_counts_and_while_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "REPEATS", 6)  # the fewest that have a 95 % interval
    monkeypatch.setattr(metrics, "READERS", (2,))
    monkeypatch.setattr(metrics, "DELIVERIES", {2: 20})
    (row,) = await metrics.run(Lab.start)
    assert (row.unit, row.peer) == ("µs", "not counting")
    assert row.value > 0
    assert row.ratio is not None
    assert row.at_most == 1.03


async def test_a_server_counts_when_it_is_told_to() -> None:
    child = Child.module("switched", "rtlab.bench.server_with_metrics_switch", "--port", "0", token="secret")
    try:
        place = f"127.0.0.1:{await child.announced(20.0)}"
        async with MetricsReader("secret") as pages, gather_readers(f"ws://{place}/ws", 1) as readers:
            counted: list[float] = []
            for signal_number in (DO_NOT_COUNT, COUNT):
                os.kill(child.pid, signal_number)
                await readers.publish(2)  # the signal is obeyed meanwhile
                counted.append(await handled(pages, place))
                await readers.publish(5)
                counted.append(await handled(pages, place))
        silent, counting = counted[:2], counted[2:]
        assert silent[1] == silent[0]
        assert counting[1] == counting[0] + 5
    finally:
        await child.stop(5.0)


async def handled(pages: MetricsReader, place: str) -> float:
    page = await pages.read(f"http://{place}")
    return float(page.split("rtlab_handling_seconds_count ")[1].split()[0])
