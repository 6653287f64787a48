"""Batching on the real server beside its closed forms, over B × T × λ: frame sizes and added delay.

The caller, such as ``rtlab bench``, passes in the closed forms: benchmarks do not import the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.throughput.process_reading import BENCH
from rtlab.client.connection import Connection
from rtlab.experiments.throughput.batching_sweep import sweep_batching
from rtlab.measure.observed_batch_window import ObservedBatchWindow
from rtlab.patterns.message_batcher import MessageBatcher

__all__ = ["ClosedForms", "check_batching_model"]

#: Two functions of λ (per second), T (seconds) and B: messages in a frame, and mean added delay in seconds.
ClosedForms = tuple[Callable[[float, float, float], float], Callable[[float, float, float], float]]

RATES: Final = (20.0, 100.0, 500.0)
WAITS: Final = (0.02, 0.1)
LIMITS: Final = (2, 10, 100)
SECONDS: Final = 20.0
MESSAGES: Final = 5_000


async def check_batching_model(
    start_lab: StartLab,
    *,
    rates: Sequence[float] = RATES,
    waits: Sequence[float] = WAITS,
    limits: Sequence[int] = LIMITS,
    messages: int = MESSAGES,
    seconds: float = SECONDS,
    closed_forms: ClosedForms | None = None,
) -> list[Result]:
    """Return the mean messages per frame and the mean added delay of every cell (λ, T, B).

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab.
    rates, waits, limits : sequences
        Values of λ in messages per second, of T in seconds, and of B in messages.
    messages, seconds : int and float
        Least number of messages, and duration in seconds, of each cell.
    closed_forms : ClosedForms, optional
        Formulas that each cell must match within 5 %; None compares with nothing.
    """
    lab = await start_lab(heartbeat=3600.0)
    try:
        points = await sweep_batching(
            lab,
            _make,
            rates=rates,
            waits=waits,
            limits=limits,
            messages=messages,
            seconds=seconds,
        )
    finally:
        await lab.stop()
    rows: list[Result] = []
    for point in points:
        setting = point.rate, point.wait, float(point.limit)
        cell = f"sweep, λ = {point.rate:g}/s, T = {1e3 * point.wait:g} ms, B = {point.limit}"
        size, delay = (None, None) if closed_forms is None else (form(*setting) for form in closed_forms)
        rows += [
            _row(f"{cell}: messages in a frame", point.per_frame, "", size),
            _row(f"{cell}: mean added delay", 1e3 * point.delay, "ms", delay and 1e3 * delay),
        ]
    return rows


def _make(conn: Connection, window: ObservedBatchWindow) -> Any:
    return MessageBatcher(conn, window=window)


def _row(metric: str, value: float, unit: str, expected: float | None) -> Result:
    if expected is None:
        return Result.of(BENCH, metric, [value], unit)
    row = Result.of(BENCH, metric, [value], unit, "closed form", [expected])
    return msgspec.structs.replace(row, at_most=1.05, at_least=0.95)
