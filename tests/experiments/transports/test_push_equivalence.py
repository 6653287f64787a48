from __future__ import annotations

import asyncio

import pytest

from rtlab.experiments.transports.push_equivalence import push_equivalence
from rtlab.lab.lab import Lab

TIMEOUT = 60.0


@pytest.mark.calm
async def test_the_control_is_told_apart():
    async with asyncio.timeout(TIMEOUT), Lab(faults=True) as lab:
        # The margin is wide because others may use this machine; the control is wider still. One run of
        # ten that the machine spoils moves no end of the interval.
        test = await push_equivalence(lab, margin_ms=50.0, runs=10, messages=10, control_ms=200.0)
    assert test.verdicts == [
        "sse and websocket are equivalent: less than 50 ms apart",
        "sse + 200 ms is later than sse, by more than 50 ms",
    ]
    assert test.runs.shape == (10, 3)
    assert "control" in test._repr_html_()
