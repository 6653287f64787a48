from __future__ import annotations

import numpy as np
import pytest

from rtlab.experiments.batch_queue import play_window
from rtlab.measure.open_loop import poisson_times
from rtlab.models import batching as model
from rtlab.policies.batching import FixedTick
from tests.notebook_exercises import run

NAME = "11_batching"
COSTS = {"per_frame": 0.0009, "per_message": 0.0001}


async def test_exercise_1():
    wait = (await run(NAME, 1, np=np, model=model))["T"]
    assert wait == pytest.approx(0.0172, abs=1e-4)
    assert model.batch_size(300, wait) == pytest.approx(6.2, abs=0.05)
    # The hint: E[W] is between T/2 and T.
    assert wait / 2 < model.batch_delay(300, wait) < wait


async def test_exercise_2():
    better = (await run(NAME, 2, np=np, model=model, COSTS=COSTS))["better"]
    assert better == list(range(880, 1000, 10))
    assert model.loaded_delay(1000, 0, **COSTS) == np.inf


async def test_exercise_3():
    names = await run(
        NAME, 3, np=np, play_window=play_window, poisson_times=poisson_times, FixedTick=FixedTick
    )
    assert (names["in_step"], names["spread"]) == (31, 3)


async def test_exercise_4():
    assert (await run(NAME, 4))["p99"] == pytest.approx(4.4)
