"""One reading of a process at work, and the result that a row of readings makes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from rtlab.bench.results import Result
from rtlab.measure.cpu import cpu_seconds

__all__ = ["BENCH", "Reading", "cpu_result", "rate_result", "watch"]

#: The benchmark's name in each result.
BENCH = "throughput"


class Reading(NamedTuple):
    """What one piece of work took.

    Parameters
    ----------
    amount : float
        Deliveries, or messages.
    cpu : float
        CPU seconds of the process that is measured.
    seconds : float
        That passed.
    """

    amount: float
    cpu: float
    seconds: float

    @property
    def busy(self) -> float:
        """How much of a core the process used."""
        return self.cpu / self.seconds

    @property
    def us(self) -> float:
        """CPU µs for each."""
        return 1e6 * self.cpu / self.amount

    @property
    def rate(self) -> float:
        """How many in a second."""
        return self.amount / self.seconds


def watch(pid: int, amount: float, work: Callable[[], object]) -> Reading:
    """Do some work, and read what it took of a process.

    Parameters
    ----------
    pid : int
        The process.
    amount : float
        What the work comes to.
    work : callable
        Blocks until all is done.
    """
    cpu, began = cpu_seconds(pid), time.perf_counter()
    work()
    return Reading(amount, cpu_seconds(pid) - cpu, time.perf_counter() - began)


def cpu_result(
    metric: str, ours: Sequence[Reading], peer: str, theirs: Sequence[Reading], at_most: float | None = None
) -> Result:
    """Compare CPU for each delivery, in pairs; both servers have to have been busy.

    Parameters
    ----------
    metric, peer : str
        What is compared.
    ours, theirs : sequence of Reading
        Pair i of both was taken in one turn.
    at_most : float, optional
        What the ratio must not exceed.
    """
    row = Result.paired(BENCH, metric, [r.us for r in ours], "µs", peer, [r.us for r in theirs])
    busy = min(_busy(ours), _busy(theirs))
    return msgspec.structs.replace(row, busy=busy, at_most=at_most)


def rate_result(
    metric: str, ours: Sequence[Reading], peer: str, theirs: Sequence[Reading], at_least: float | None = None
) -> Result:
    """Compare rates, in pairs; as `cpu_result`, but the ratio must not be less than `at_least`."""
    row = Result.paired(BENCH, metric, [r.rate for r in ours], "/s", peer, [r.rate for r in theirs])
    busy = min(_busy(ours), _busy(theirs))
    return msgspec.structs.replace(row, busy=busy, at_least=at_least)


def _busy(readings: Sequence[Reading]) -> float:
    return statistics.median(reading.busy for reading in readings)
