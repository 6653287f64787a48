"""The rows of the throughput benchmark run, on a scale that measures nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from rtlab.bench.suites import throughput
from rtlab.bench.throughput import batching_model_check, memory_per_idle_connection
from rtlab.bench.throughput.epoll_room_readers import RTLAB, counting_readers
from rtlab.bench.throughput.honest_echoes_under_attack import ATTACKS, attacks
from rtlab.errors import RtlabError
from rtlab.experiments.throughput.batching_sweep import SweepPoint
from rtlab.lab.lab import Lab

TINY = throughput._TINY


class Kept:
    """A lab that rows may stop, and that goes on."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lab, name)

    async def stop(self) -> None:
        pass


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncGenerator[Lab]:
    async with Lab(heartbeat=3600.0, compression=True) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_rows_run_and_judge_what_is_asked(lab: Lab) -> None:
    async def start(**_: Any) -> Any:
        return Kept(lab)

    found = []
    for name in ("compressed", "idle", "stalled", "room-sizes"):
        found += await throughput.ROWS[name](start, **TINY[name])
    by_name = {row.metric: row for row in found}
    assert all(row.bench == "throughput" for row in found)
    assert by_name["20 idle: server memory for each"].unit == "KiB"
    assert by_name["longest turn with 20 idle"].at_most == 1.0
    assert by_name["p99 of 5 clients, one more stalled"].at_most == 1.2
    compressed = by_name["server CPU per delivery to 5 clients, compressed and shared"]
    assert (compressed.at_most, compressed.peer) == (1.5, "uncompressed")
    assert compressed.busy is not None


async def test_a_cursor_is_measured_in_one_room_and_in_many():
    async def start(**_: Any) -> Any:
        raise AssertionError("it needs no lab")

    rows = await throughput.ROWS["cursors"](start, **TINY["cursors"])
    assert [(row.metric, row.unit, row.peer) for row in rows] == [
        ("cursor of an event, 1 room", "µs", "written whole"),
        ("cursor of an event, 64 rooms", "µs", "written whole"),
    ]
    assert all(row.value > 0 for row in rows)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_sweep_is_held_against_closed_forms(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(**_: Any) -> Any:
        return Kept(lab)

    async def measured(*_: Any, **__: Any) -> list[SweepPoint]:
        return [SweepPoint(50.0, 0.1, 10, 600, 5.8, 0.085, 0.085, 0.0)]

    monkeypatch.setattr(batching_model_check, "sweep_batching", measured)
    size, delay = await batching_model_check.check_batching_model(
        start, closed_forms=(lambda *_: 6.0, lambda *_: 0.08)
    )
    assert (size.peer, size.peer_value, size.holds) == ("closed form", 6.0, True)
    assert (delay.value, delay.peer_value, delay.holds) == (85.0, 80.0, False)
    alone, _ = await batching_model_check.check_batching_model(start)
    assert (alone.value, alone.peer, alone.holds) == (5.8, "", None)


@pytest.mark.asyncio(loop_scope="module")
async def test_attacks_are_run_beside_an_honest_client(lab: Lab) -> None:
    async def start(**_: Any) -> Any:
        return Kept(lab)

    rows = await attacks(start, clients=5, seconds=0.1, which=("publishes", "streams"))
    assert len(rows) == 8
    assert rows[1].metric == f"echo p99, {ATTACKS['publishes'].what.format(clients=5)}"
    assert all(row.value >= 0 for row in rows)


@pytest.mark.asyncio(loop_scope="module")
async def test_readers_count_each_frame_once_however_it_is_cut(lab: Lab) -> None:
    text = b'{"type":"n","roomId":"throughput","payload":"%b"}'
    with counting_readers(lab.url, 3) as readers:
        readers.publish([text % b"", text % (b"x" * 200), text % (b"x" * 70_000)])
        assert readers.frames == 9
        assert readers.bytes > 3 * 70_200
        readers.settle()
        assert readers.frames == readers.bytes == 0
    with counting_readers(lab.url, 2, RTLAB, extensions="permessage-deflate") as readers:
        readers.publish([text % (b"x" * 5_000)])
        assert readers.bytes < 2_000


async def test_an_idle_connection_takes_little_memory() -> None:
    """18 KiB is the limit; a few pages more or less at so small a count."""
    async with Lab(heartbeat=3600.0) as lab:
        kib, _ = await memory_per_idle_connection._grown(
            lab.url, lab.pids[0], memory_per_idle_connection._OURS, (200, 1_000)
        )
    assert 5 < kib < 20


async def test_a_row_that_does_not_exist() -> None:
    with pytest.raises(RtlabError, match="expected --only with one of batched-send"):
        await throughput.run(Lab.start, only="nothing")
    assert TINY.keys() == throughput.ROWS.keys()
