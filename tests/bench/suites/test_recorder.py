from __future__ import annotations

import asyncio

import pytest

from rtlab.bench.suites import recorder as bench_recorder
from rtlab.lab.lab import Lab
from rtlab.measure.recorder import Recorder

TIMEOUT = 60.0


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_recorder, "REPEATS", 1)
    monkeypatch.setattr(bench_recorder, "SAMPLES", 1_000)
    monkeypatch.setattr(bench_recorder, "LIVE_RATE", 1_000)
    monkeypatch.setattr(bench_recorder, "LIVE_SECONDS", 0.1)


@pytest.mark.usefixtures("_quick")
async def test_a_live_run_says_what_is_missing_and_which_rate_it_reached():
    async with asyncio.timeout(TIMEOUT):
        limit, rival, missing, rate = await bench_recorder.run(Lab.start)
    assert (limit.peer, limit.peer_value) == ("limit", 500_000)
    assert rival.peer == "list of dicts"
    assert missing.value == 0
    # Whatever the machine was busy with, the whole feed cannot have come in no time.
    assert (rate.peer, rate.peer_value) == ("asked for", 1_000)
    assert 0 < rate.value < 100_000


@pytest.mark.usefixtures("_quick")
async def test_a_sample_that_is_lost_is_missed(monkeypatch: pytest.MonkeyPatch):
    keep = Recorder.record
    lost = iter([True])

    def forgetful(self: Recorder, *sample: object) -> None:
        if not next(lost, False):
            keep(self, *sample)

    monkeypatch.setattr(Recorder, "record", forgetful)
    async with asyncio.timeout(TIMEOUT):
        missing, _ = await bench_recorder._live(Lab.start)
    assert missing == 1
