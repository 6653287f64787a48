"""One reading of a process at work, and the results that readings of two sides make."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from rtlab.bench.results import Result
from rtlab.measure.cpu_time import cpu_seconds

__all__ = ["BENCH", "Reading", "cpu_result", "rate_result", "watch"]

#: The benchmark's name in each result.
BENCH = "throughput"


class Reading(NamedTuple):
    """The CPU time and duration of one piece of work.

    Parameters
    ----------
    amount : float
        Number of deliveries, or of messages.
    cpu : float
        CPU seconds that the measured process used.
    seconds : float
        Elapsed seconds.
    """

    amount: float
    cpu: float
    seconds: float

    @property
    def busy(self) -> float:
        """Share of a core that the process used."""
        return self.cpu / self.seconds

    @property
    def us(self) -> float:
        """CPU time per delivery or message, in µs."""
        return 1e6 * self.cpu / self.amount

    @property
    def rate(self) -> float:
        """Deliveries or messages per second."""
        return self.amount / self.seconds


def watch(pid: int, amount: float, work: Callable[[], object]) -> Reading:
    """Do some work, and measure the CPU time that a process uses meanwhile.

    Parameters
    ----------
    pid : int
        Id of the process.
    amount : float
        Number of deliveries, or of messages, in this work.
    work : callable
        Does the work, and blocks until it is done.
    """
    cpu, began = cpu_seconds(pid), time.perf_counter()
    work()
    return Reading(amount, cpu_seconds(pid) - cpu, time.perf_counter() - began)


def cpu_result(
    metric: str, ours: Sequence[Reading], peer: str, theirs: Sequence[Reading], at_most: float | None = None
) -> Result:
    """Compare the CPU time per delivery, in pairs; the result counts only if both servers were busy.

    Parameters
    ----------
    metric, peer : str
        Names of the measured quantity, and of the peer.
    ours, theirs : sequence of Reading
        Pair i of both was measured in one turn.
    at_most : float, optional
        Upper bound of the ratio; None for no bound.
    """
    row = Result.paired(BENCH, metric, [r.us for r in ours], "µs", peer, [r.us for r in theirs])
    busy = min(_busy(ours), _busy(theirs))
    return msgspec.structs.replace(row, busy=busy, at_most=at_most)


def rate_result(
    metric: str, ours: Sequence[Reading], peer: str, theirs: Sequence[Reading], at_least: float | None = None
) -> Result:
    """Compare rates in pairs, like `cpu_result`, but with a lower bound of the ratio (`at_least`)."""
    row = Result.paired(BENCH, metric, [r.rate for r in ours], "/s", peer, [r.rate for r in theirs])
    busy = min(_busy(ours), _busy(theirs))
    return msgspec.structs.replace(row, busy=busy, at_least=at_least)


def _busy(readings: Sequence[Reading]) -> float:
    return statistics.median(reading.busy for reading in readings)
