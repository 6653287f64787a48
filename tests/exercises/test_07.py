from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.models import reconnect_load as reconnect
from rtlab.policies.backoff import PRESETS, FullJitter, Linear, Table
from tests.notebook_exercises import run

NAME = "07_reconnect_storms"
NAMES: dict[str, Any] = {
    "FullJitter": FullJitter,
    "Linear": Linear,
    "PRESETS": PRESETS,
    "Scenario": Scenario,
    "math": math,
    "np": np,
    "simulate": simulate,
}


async def test_exercise_1():
    names = await run(NAME, 1, **NAMES)
    raced = names["raced"]
    assert {name: run.gave_up > 0 for name, run in raced.items()} == {
        "signalr": True,
        "phoenix": False,
        "partysocket": False,
    }
    assert raced["signalr"].share_in < 0.5
    assert all(run.busiest_share() == 1 for run in raced.values())
    # The hints: SignalR's four delays; Phoenix's eight attempts in four seconds, and its ninth.
    assert PRESETS["signalr"].max_attempts == 4
    assert names["early"] == 8
    phoenix = PRESETS["phoenix"]
    assert isinstance(phoenix, Table)
    assert np.cumsum(phoenix.delays)[[7, 8]] == pytest.approx([2.26, 4.26])


async def test_exercise_2():
    names = await run(NAME, 2, **NAMES)
    shares: dict[int, float] = names["shares"]
    recovered: dict[int, float | None] = names["recovered"]
    assert reconnect.attempt_rate_at_cap(5_000, 80, "full") == 125
    assert shares[60] == pytest.approx(400 / 5_000, abs=0.005)  # the first rush, and nobody after it
    assert shares[60] < shares[78] < shares[80] < shares[81] == 1
    assert recovered == {
        60: None,
        74: pytest.approx(16 * 60, abs=30),
        78: pytest.approx(11 * 60, abs=30),
    }


async def test_exercise_3():
    stubborn = (await run(NAME, 3, **NAMES))["stubborn"]
    assert stubborn.all_in is None
    assert stubborn.share_in == pytest.approx(7 / 8, abs=0.03)
    assert stubborn.idle_share == pytest.approx(0.9, abs=0.05)


async def test_exercise_4():
    slow_door: dict[int, float] = (await run(NAME, 4, **NAMES))["slow_door"]
    assert slow_door[1_000] == pytest.approx(43, abs=3)
    assert slow_door[100] == pytest.approx(216, abs=8)
    # The hint: the tail of the cap does not grow.
    assert slow_door[100] - 200 == pytest.approx(slow_door[1_000] - 20, abs=10)


async def test_exercise_5():
    names = await run(NAME, 5, **NAMES)
    told, full = names["told_when"], names["full_1_5"]
    assert told.all_in < full.all_in
    assert told.all_in == pytest.approx(25, abs=1.5)  # away for 5 s, then N/μ
    assert told.attempts_per_client < 2 < full.attempts_per_client
