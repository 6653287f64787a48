"""What does watching cost? The kernel's loop lag and CPU, with and without a live plot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np

__all__ = ["Phase", "observe"]

#: Interval of the ticker whose lateness is measured, seconds.
TICK: Final = 0.002


class Phase(NamedTuple):
    """One stretch of time with one way of watching.

    Parameters
    ----------
    name : str
        Which way.
    lag_p99_ms : float
        99th percentile of how late a 2 ms ticker on this loop fired.
    cpu_percent : float
        CPU of this process, 100 being one core.
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
        # The next deadline counts from now, so that one long stall yields one late tick.
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
    """Measure each way of watching in turn, again and again: ABAB.

    Parameters
    ----------
    watchers : mapping
        Name → how to start it and how to stop it.
    seconds : float
        Length of a phase.
    repeats : int
        Phases of each.

    Returns
    -------
    list of Phase
        In the order in which they ran, after one round that does not count.
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
