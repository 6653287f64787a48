from __future__ import annotations

import pytest

from tests.notebook_exercises import run

NAME = "17_scaling"


async def test_exercise_1():
    names = await run(NAME, 1)
    deviation = float(names["moved_share_deviation"](3, 4000))
    assert abs(names["moved"] - 0.25) < 3 * deviation
    assert names["elsewhere"] == 0


async def test_exercise_2():
    scatter = (await run(NAME, 2))["scatter"]
    assert scatter[1] == pytest.approx(5.4, abs=0.05)
    assert scatter[100] == pytest.approx(0.54, abs=0.01)


async def test_exercise_3():
    names = await run(NAME, 3)
    assert names["by_form"] == pytest.approx(1.594, abs=0.001)
    assert names["played"] == pytest.approx(names["by_form"], abs=0.03)
