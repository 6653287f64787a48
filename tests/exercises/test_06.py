# pyright: basic

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from rtlab import Lab
from tests.notebook_exercises import NOTEBOOKS, run

NAME = "06_fallback"


def prepared(lab: Lab, *defined: str) -> dict[str, Any]:
    """Return what the notebook's own cells define before a solution: all imports, and the named parts."""
    names: dict[str, Any] = {"lab": lab, "DEADLINE": 1.0}
    for cell in nbformat.read(NOTEBOOKS / f"{NAME}.ipynb", as_version=4).cells:
        if cell.cell_type != "code":
            continue
        lines = [line for line in cell.source.splitlines() if line.startswith(("import ", "from "))]
        exec("\n".join(lines), names)
        parts = cell.source.split("\n\n\n")
        exec("\n\n\n".join(part for part in parts if any(name in part for name in defined)), names)
    return names


@pytest.fixture
async def lab():
    async with Lab(faults=True) as running:
        yield running


async def test_exercise_1(lab: Lab):
    names = prepared(lab, "NETWORKS = {")
    names = await run(NAME, 1, **names)
    assert names["stops"] == ["everything down"]


async def test_exercise_2(lab: Lab):
    names = prepared(lab, "async def first_over")
    names = await run(NAME, 2, **names)
    # A machine that takes 250 ms for a first message starts the third as well, or finds none in time.
    assert names["winner"] in ("sse", "longpoll", None)
    assert names["opened"] >= 2
    assert names["waited"] >= 0.25
    assert names["on_a_slow_line"][1] >= 2  # the hint: a storm of its own making
    assert names["refused"][0] in ("sse", "longpoll", None)


async def test_exercise_3(lab: Lab):
    names = prepared(lab, "TRANSPORTS = (")
    names = await run(NAME, 3, **names)
    assert "no transport works" in names["said"]
    assert names["said"].count("no first message within 1 s") == 3
    assert names["learned"] == []


async def test_exercise_4():
    names = await run(NAME, 4)
    assert names["busiest"][0] == 1000
    assert 20 <= names["busiest"][0.5] <= 60
