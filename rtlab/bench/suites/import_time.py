"""``rtlab bench import``: how long ``import rtlab`` and the start of a lab take."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result

__all__ = ["run"]

REPEATS: Final = 7
IMPORT_LIMIT: Final = 0.3
START_LIMIT: Final = 2.0

_TIMED: Final = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
#: The import line of a notebook's first cell; each name loads its module.
_NAMES: Final = "from rtlab import Lab, LatencyPlot, WebSocketConnection"


async def _fresh(statement: str) -> float:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", _TIMED.format(statement), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        printed, _ = await child.communicate()
    return float(printed)


async def run(start_lab: StartLab) -> list[Result]:
    """Time ``import rtlab`` in fresh processes, and the start of a lab.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab that is timed.

    Returns
    -------
    list of Result
        Seconds, beside the project's own limits.
    """
    imports = [await _fresh("import rtlab") for _ in range(REPEATS)]
    names = [await _fresh(_NAMES) for _ in range(REPEATS)]
    starts: list[float] = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        lab = await start_lab()
        starts.append(time.perf_counter() - began)
        await lab.stop()
    return [
        Result.of("import", "import rtlab", imports, "s", "limit", [IMPORT_LIMIT]),
        Result.of("import", _NAMES, names, "s"),
        Result.of("import", "Lab.start()", starts, "s", "limit", [START_LIMIT]),
    ]
