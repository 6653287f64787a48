# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from typing import Any

import nbformat
import numpy as np
import pytest

from rtlab import Lab
from rtlab.measure.event_loop_lag import LoopLag
from rtlab.models.head_of_line import repair_delay
from tests.notebook_exercises import NOTEBOOKS, run

NAME = "05_webrtc"


def defined(lab: Lab, *functions: str) -> dict[str, Any]:
    """Run the notebook's cells that define these functions, with a lab."""
    names: dict[str, Any] = {"lab": lab, "asyncio": asyncio, "np": np}
    exec("import time\nfrom contextlib import nullcontext\nfrom rtlab import *", names)
    exec("from rtlab import together\nverdicts = Verdicts()", names)
    notebook: Any = nbformat.read(NOTEBOOKS / f"{NAME}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and any(f"def {function}(" in cell.source for function in functions):
            exec(cell.source, names)
    return names


async def test_exercise_1():
    """A slow stream takes long to notice."""
    async with asyncio.timeout(60), Lab(faults=True) as lab:
        names = await run(NAME, 1, **defined(lab, "lossy", "feed"))
    assert names["predicted"] == pytest.approx(0.23)
    assert 0.22 < names["highest"] < 0.5  # a busy machine adds to it, and never takes off
    # The hint: below about three messages a second a timer of one second comes first.
    assert repair_delay(1 / 3, 0.08) > 1 > repair_delay(1 / 3.5, 0.08)


@pytest.mark.calm
async def test_exercise_2():
    """A life shorter than the repair is no repeats."""
    lag = LoopLag()
    async with asyncio.timeout(60), Lab(faults=True) as lab:
        lag.start()
        names = await run(NAME, 2, **defined(lab, "lossy", "feed"))
        lag.stop()
    never = names["never"]
    assert never["50 ms"] >= 4
    if lag.lags().max() < 0.05:  # else a busy machine's sender gave up more: a life also ends in its queue
        assert never["150 ms"] < never["50 ms"]
    assert len(names["MODES"]) == 4


async def test_exercise_3():
    """Three reports make a loss."""
    async with asyncio.timeout(60), Lab(faults=True) as lab:
        names = await run(NAME, 3, **defined(lab, "lossy", "feed"))
    assert names["twice"][2] < names["twice"][5]  # a timer repeats, too, where the machine is slow


async def test_exercise_4():
    """Long holes are not concealed."""
    async with asyncio.timeout(60), Lab(faults=True) as lab:
        names = await run(NAME, 4, **defined(lab, "hear", "conceal"))
    lost = 100 * names["stats"].lost_fraction
    silence = names["silent"](names["conceal"](names["in_runs"]))
    assert silence > lost / 3  # most of a hole of eight is behind its third packet
    # The same share, one by one, is bridged.
    packets = names["slots"](names["packets"])
    whole = [slot for slot in packets if slot is not None]
    rng = np.random.default_rng(1)
    single = [None if rng.random() < 0.25 else slot for slot in whole]
    assert names["silent"](names["conceal"](single)) < silence / 3
