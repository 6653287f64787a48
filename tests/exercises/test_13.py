from __future__ import annotations

import numpy as np
import pytest

from rtlab.experiments.throughput.overloaded_queue import play_overflow
from rtlab.models import queue_length_and_loss as model
from tests.notebook_exercises import run

NAME = "13_backpressure"


async def test_exercise_1():
    names = await run(NAME, 1, model=model)
    assert (names["bound"], names["behind"]) == (300, pytest.approx(1.2))


async def test_exercise_2():
    names = await run(NAME, 2, np=np, play_overflow=play_overflow)
    assert names["oldest"] == pytest.approx(0.5, rel=0.02)
    assert names["newest"] == pytest.approx(1.0, rel=0.02)


async def test_exercise_3():
    names = await run(NAME, 3, np=np, play_overflow=play_overflow)
    ages = names["ages"]
    assert (ages[0], ages[2]) == (ages[1], ages[3])  # the bound does not matter
    assert all(0.9 * 0.2 < age <= 0.2 for age in ages)
    assert names["while_they_come"] == pytest.approx([0.04, 0.04, 0.06, 0.06], rel=0.1)
