from __future__ import annotations

from collections import namedtuple

import pytest

from rtlab.bench.suites import queue as bench_queue
from rtlab.errors import LabError
from rtlab.lab.lab import Lab


async def test_every_figure_has_its_peer_and_no_message_is_missing(monkeypatch: pytest.MonkeyPatch):
    small = {"REPEATS": 1, "AT_ONCE": 4, "EACH": 2, "ONE_BY_ONE": 2, "WAITING": 20, "MISSED": 50, "SENT": 50}
    for name, value in {**small, "TURNS": 1}.items():
        monkeypatch.setattr(bench_queue, name, value)
    together, one, reopened, recovered, alone, batched = await bench_queue.run(Lab.start)
    assert {together.peer, one.peer} == {"persist-queue"}
    assert "synchronous=FULL" in together.metric
    assert (reopened.metric, reopened.peer_value) == ("reopen 20 messages", 1.0)
    assert (recovered.metric, recovered.peer_value) == ("recover 50 missed messages", 1.0)
    assert (alone.peer, batched.peer) == ("unacknowledged, each in a frame", "unacknowledged, 64 in a frame")
    assert all(result.value > 0 for result in (together, one, reopened, recovered, alone, batched))


async def test_memory_is_no_disk(monkeypatch: pytest.MonkeyPatch):
    part = namedtuple("part", "mountpoint fstype")
    monkeypatch.setattr(bench_queue.psutil, "disk_partitions", lambda all: [part("/", "tmpfs")])
    with pytest.raises(LabError, match=r"is in memory \(tmpfs\)"):
        await bench_queue.run(Lab.start)
