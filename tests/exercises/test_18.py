from __future__ import annotations

import pytest

from rtlab.models.server_capacity_plan import Costs, Workload, capacity_plan
from tests.notebook_exercises import run

NAME = "18_monitoring"


async def test_exercise_1():
    names = await run(NAME, 1)
    seen, n, d = names["seen"], names["N"], names["d"]
    assert seen.mean() == pytest.approx(6 * d / n, rel=0.02)
    assert (seen == 6).mean() == pytest.approx((d / n) ** 6, rel=0.2)
    assert d / 0.95 == pytest.approx(0.21, abs=0.005)


async def test_exercise_2():
    assert (await run(NAME, 2))["burns"] == {1.9: True, 2.1: False}


async def test_exercise_3():
    names = await run(NAME, 3)
    assert names["low"] == pytest.approx(1.04, abs=0.01)
    costs: Costs = names["costs"]
    # The hint: the limit changes there, and only there.
    limits = [capacity_plan(costs, Workload(deliveries=x)).limit for x in (1.0, 1.1, 10.0)]
    assert limits == ["memory", "CPU", "CPU"]
