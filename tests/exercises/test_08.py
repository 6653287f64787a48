"""The solutions of 08_heartbeats_and_breakers, with the helpers that its own cells define."""

from __future__ import annotations

from typing import Any

import nbformat
import numpy as np
import pytest

from rtlab import Lab
from rtlab.experiments.time_until_dead_peer_noticed import detection_times
from rtlab.measure.event_loop_lag import LoopLag
from rtlab.measure.statistics.ks_distance import ks_bound, ks_distance
from rtlab.models import detection_time_distribution as laws
from rtlab.policies.circuit_breaker import Breaker
from tests.notebook_exercises import NOTEBOOKS, run

NAME = "08_heartbeats_and_breakers"


def helpers(*starts: str, **given: Any) -> dict[str, Any]:
    """Return what the notebook's imports, and the cells that hold these lines, define."""
    cells = nbformat.read(NOTEBOOKS / f"{NAME}.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    names: dict[str, Any] = dict(given)
    exec(code[0].partition("for old in")[0], names)
    for start in starts:
        (source,) = (text for text in code if f"\n{start}" in f"\n{text}")
        exec(source, names)
    return names


async def test_exercise_1() -> None:
    costs = (await run(NAME, 1))["costs"]
    assert costs[5] == {"awake (s)": 3600, "bytes": 14_400}  # the hint: it never sleeps
    assert costs[50] == {"awake (s)": 360, "bytes": 1_440}


async def test_exercise_2() -> None:
    async with Lab(faults=True) as lab:
        given = {"detection_times": detection_times, "ks_distance": ks_distance, "ks_bound": ks_bound}
        lag = LoopLag()
        lag.start()
        names = await run(NAME, 2, **helpers(lab=lab, **given))
        lag.stop()
    patient, late = names["patient"], lag.lags().max()
    # The clock is read late on a busy machine, and never early.
    assert ks_distance(patient, laws.ping_timeout(1.0, 2.5).cdf, patient - late) < ks_bound(50)
    assert patient.min() > 2.45


async def test_exercise_3() -> None:
    cells = ("from rtlab.client.connection import", "class Clients", "async def outage")
    async with Lab(faults=True) as lab:
        names = await run(NAME, 3, **helpers(*cells, lab=lab))
    patiently, at_once = names["patiently"], names["at_once"]
    assert len(patiently) == len(at_once) == 30
    # Not the last: on a busy machine thirty handshakes take as long as the delays.
    assert np.quantile(at_once - at_once[0], 0.1) < np.quantile(patiently - patiently[0], 0.9)


async def test_exercise_4() -> None:
    opened = (await run(NAME, 4, Breaker=Breaker))["opened"]
    assert opened == {"10/s": pytest.approx(0.9), "3/s": None, "five in a row, 10/s": None}


async def test_exercise_5() -> None:
    async with Lab(faults=True) as lab:
        alarms = (await run(NAME, 5, **helpers(lab=lab)))["alarms"]
    assert alarms[0.3] >= 12
    assert alarms[0.6] < alarms[0.3]  # none, but for a machine that is 200 ms late
