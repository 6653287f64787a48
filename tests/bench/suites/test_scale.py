"""``rtlab bench scale``, with a few messages: the rows and what they are compared with, not their size."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest

from rtlab.bench.suites import scale
from rtlab.bench.suites.scale import measure, measure_recovery
from rtlab.errors import RtlabError
from rtlab.lab.broker_servers import BrokerServer
from rtlab.lab.lab import Lab


async def test_every_process_and_every_hop_has_its_row_beside_the_bare_client():
    broker = await BrokerServer.start("nats")
    try:
        async with Lab(nodes=2, broker=broker.url) as lab:
            rows = {row.metric.partition(": ")[2]: row for row in await measure(lab, broker, 2, 3)}
    finally:
        await broker.stop()
    assert list(rows) == [
        "CPU of node-1 per delivery",
        "CPU of node-2 per delivery",
        "CPU of the broker per delivery",
        "until all heard p50",
        "until all heard p99",
        "added p50",
        "added p99",
    ]
    compared = [name for name, row in rows.items() if row.peer == "bare client"]
    assert compared == ["CPU of the broker per delivery", "until all heard p50", "until all heard p99"]
    assert all(rows[name].value > 0 for name in list(rows)[:5])


def test_no_percentile_is_beyond_what_was_measured():
    rows = {row.metric: row for row in scale._times("few", [1.0, 2.0, 3.0], [0.5, 0.5, 1.0])}
    late = rows["few: until all heard p99"]
    assert 2 < late.value <= 3
    assert late.peer_value is not None
    assert 0.5 < late.peer_value <= 1
    assert 1.5 < rows["few: added p99"].value <= 2


async def test_a_recovery_is_the_worst_of_all_beside_its_limit(monkeypatch: pytest.MonkeyPatch):
    cluster = SimpleNamespace(stop=AsyncMock())
    monkeypatch.setattr(scale.BreakableCluster, "start", AsyncMock(return_value=cluster))
    taken = iter([0.1, 0.6, 0.2, 1.5, 1.9, 1.6])
    breaks = AsyncMock(side_effect=lambda *_, **__: [SimpleNamespace(recovery=next(taken))])
    monkeypatch.setattr(scale, "break_cluster", breaks)
    killed, stopped = await measure_recovery("nats", 3)
    assert (killed.value, killed.at_most, killed.holds) == (0.6, 0.5, False)
    assert (stopped.value, stopped.at_most, stopped.holds) == (1.9, 2.0, True)
    assert "beat 0.2 s, dead after 1.5 s" in stopped.metric
    cluster.stop.assert_awaited_once()


async def test_a_part_that_does_not_exist_is_refused():
    with pytest.raises(RtlabError, match="cost, recovery"):
        await scale.run(AsyncMock(), only="everything")
