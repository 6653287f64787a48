"""What a live plot costs: event-loop lag and CPU time of the notebook's kernel, with and without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np

__all__ = ["Phase", "observe"]

#: Interval in seconds of the ticker whose lateness is measured.
TICK: Final = 0.002


class Phase(NamedTuple):
    """Measurements during a period with one kind of watcher.

    Parameters
    ----------
    name : str
        Name of the watcher.
    lag_p99_ms : float
        99th percentile of the lateness of a 2 ms ticker on this event loop, in ms.
    cpu_percent : float
        CPU use of this process; 100 is one core.
    """

    name: str
    lag_p99_ms: float
    cpu_percent: float


async def _phase(name: str, seconds: float) -> Phase:
    loop = asyncio.get_running_loop()
    lags: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    due = loop.time() + TICK
    while time.perf_counter() - began < seconds:
        await asyncio.sleep(due - loop.time())
        now = loop.time()
        lags.append(now - due)
        # The next deadline counts from now, so that one long stall yields only one late tick.
        due = now + TICK
    took = time.perf_counter() - began
    percent = 100 * (time.process_time() - cpu) / took
    return Phase(name, float(np.percentile(lags, 99)) * 1e3, percent)


async def observe(
    watchers: Mapping[str, tuple[Callable[[], object], Callable[[], object]]],
    *,
    seconds: float,
    repeats: int,
) -> list[Phase]:
    """Measure each watcher in turn, `repeats` times: ABAB.

    Parameters
    ----------
    watchers : mapping
        Name of a watcher → functions that start and stop it.
    seconds : float
        Duration of a phase.
    repeats : int
        Number of phases for each watcher.

    Returns
    -------
    list of Phase
        In the order in which they ran, without the first round, which is a warm-up.
    """
    phases: list[Phase] = []
    for turn in range(repeats + 1):
        for name, (start, stop) in watchers.items():
            start()
            try:
                await asyncio.sleep(0.3)  # start-up work is not part of the phase
                phase = await _phase(name, seconds)
            finally:
                stop()
            if turn:
                phases.append(phase)
    return phases
