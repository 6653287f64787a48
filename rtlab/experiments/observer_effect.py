"""What does watching cost? The kernel's loop lag and CPU, with and without a live plot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rtlab.measure.recorder import Recorder

__all__ = ["Phase", "figure_of", "observe"]

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
        # The next tick counts from now: a long stall is one late tick, not a hundred.
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
                await asyncio.sleep(0.3)  # what starting costs is not what running costs
                phase = await _phase(name, seconds)
            finally:
                stop()
            if turn:
                phases.append(phase)
    return phases


def figure_of(recorder: Recorder, samples: int) -> Figure:
    """Draw the newest samples with matplotlib, as one would without a live plot.

    Parameters
    ----------
    recorder : Recorder
        Where they are. Only these are read: a long run must not make the rival slower.
    samples : int
        How many.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    rows = recorder.since(recorder.position - samples).rows
    figure = Figure(figsize=(8, 3.5))
    axes = figure.add_subplot()
    axes.plot(rows["received"] - recorder.started, recorder.measures(rows)["latency"], ".")  # pyright: ignore[reportUnknownMemberType]
    return figure
