from __future__ import annotations

import math

import pytest

from tests.notebook_exercises import run

NAME = "14_pooling_and_ordering"


async def test_exercise_1():
    assert (await run(NAME, 1))["held"] == pytest.approx(32)


async def test_exercise_2():
    names = await run(NAME, 2)
    assert names["by_law"] == pytest.approx(0.1875)
    assert names["played"] == pytest.approx(names["by_law"], rel=0.01)


async def test_exercise_3():
    shares = (await run(NAME, 3))["shares"]
    deviation = math.sqrt(10_000 * 0.25 * 0.75)
    assert len(shares) == 4
    assert all(abs(n - 2500) < 4 * deviation for n in shares.values())
