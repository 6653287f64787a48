"""One freeze, two testers."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rtlab.errors import LabError
from rtlab.experiments.throughput.coordinated_omission import ask_through_freeze
from rtlab.lab.lab import Lab
from rtlab.measure.recorder import Recorder


async def test_the_closed_loop_sees_the_freeze_once_and_the_open_loop_in_each_message() -> None:
    recorder = Recorder()
    async with Lab(faults=True) as lab:
        seen = await ask_through_freeze(lab, rate=50, seconds=1.2, freeze=0.5, recorder=recorder)
        assert (await lab.faults.status())["toxics"] == []
    assert seen is not None
    assert seen.freeze >= 0.5
    assert (len(seen.closed_at), len(seen.open_at)) == (len(seen.closed), 60)
    middle = seen.frozen_at + seen.freeze / 2
    (waits,) = np.flatnonzero((seen.closed_at < middle) & (middle < seen.closed_at + seen.closed))
    assert seen.closed[waits] > 0.25
    assert len(seen.open) == 60
    assert (seen.open > 0.25).sum() >= 10  # what was due in the first half of the freeze
    counts = {name: s["samples"] for name, s in recorder.statistics()["series"].items()}
    assert counts == {"closed loop": len(seen.closed), "open loop": 60}


async def test_a_lost_server_is_said_plainly() -> None:
    recorder = Recorder()
    async with asyncio.timeout(60), Lab(faults=True) as lab:
        run = asyncio.create_task(ask_through_freeze(lab, rate=50, seconds=30, freeze=0, recorder=recorder))
        while recorder.position < 10:
            await asyncio.sleep(0.01)
        lab.kill()
        with pytest.raises(LabError, match=r"lab\.check\(\)"):
            await run


async def test_a_freeze_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 <= freeze"):
        await ask_through_freeze(Lab(faults=True), seconds=1, freeze=1)


async def test_stop_ends_it_without_a_result_and_without_a_freeze_left() -> None:
    stopped = asyncio.Event()
    async with Lab(faults=True) as lab:
        run = asyncio.create_task(ask_through_freeze(lab, rate=50, seconds=30, freeze=20, stopped=stopped))
        await asyncio.sleep(0.3)
        stopped.set()
        assert await asyncio.wait_for(run, 10) is None
        assert (await lab.faults.status())["toxics"] == []
