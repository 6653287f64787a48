from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rtlab import Lab
from rtlab.experiments.transports.proxy_matrix import recorded_matrix
from rtlab.measure.statistics.equivalence import equivalence
from rtlab.processes.find_program import find_program
from tests.notebook_exercises import run

NAME = "01_transports"
A = [1.00, 1.13, 1.08, 1.02, 1.21, 1.05, 1.17, 1.09]
B = [1.01, 1.10, 1.03, 1.04, 1.12, 1.06, 1.11, 1.02]


@pytest.mark.calm
async def test_exercise_1():
    async with Lab(faults=True) as lab:
        grown = (await run(NAME, 1, lab=lab))["grown"]
    # The hints: one way, there and back, and twice that.
    for name in ("websocket", "sse"):
        assert grown["transit_p50_ms"][name] == pytest.approx(0.5, abs=0.15)
        assert grown["round_trip_p50_ms"][name] == pytest.approx(1, abs=0.25)
        assert grown["connect_p50_ms"][name] == pytest.approx(2, abs=0.4)


async def test_exercise_2():
    test = SimpleNamespace(claim=equivalence(A, B, 1.0))
    smallest: float = (await run(NAME, 2, test=test))["smallest"]
    assert smallest > 0
    assert equivalence(A, B, smallest * 1.001).equivalent
    assert not equivalence(A, B, smallest * 0.999).equivalent


async def test_exercise_3():
    async with Lab() as lab:
        ratio: float = (await run(NAME, 3, lab=lab))["ratio"]
    assert 1 < ratio < 1.02


@pytest.mark.calm
async def test_exercise_4():
    for program in ("nginx", "haproxy"):
        if find_program(program) is None:
            pytest.skip(f"{program} is not installed: apt install {program}")
    alive = (await run(NAME, 4))["alive"]
    assert cells(alive) == {
        (*key, transport): "passes" if outcome == "cut when idle" and transport != "longpoll" else outcome
        for (*key, transport), outcome in cells(recorded_matrix()).items()
        if transport != "webrtc"
    }


def cells(frame: Any) -> dict[tuple[str, ...], str]:
    return {(row.proxy, row.setting, row.transport): row.outcome for row in frame.itertuples()}
