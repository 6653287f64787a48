"""Measures the duration of the turns of the server's event loop, by a timer on the same loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from rtlab.server.latency_histogram_buckets import Histogram

__all__ = ["PERIOD", "TurnMeter"]

#: Seconds between two measurements of a server that works.
PERIOD: Final = 0.01

#: The same for an idle server: 100 wakes a second take 1.3 % of a core, and 10 take 0.2 %.
IDLE_PERIOD: Final = 0.1

#: Seconds without work after which a server is idle.
IDLE_AFTER: Final = 1.0

#: Seconds from which a turn counts as long: a client should not wait longer for other clients' work.
LONG_SECONDS: Final = 0.05

#: Seconds: `TurnMeter.recent` covers one to two times this.
RECENT_SECONDS: Final = 5.0


class TurnMeter:
    """Sets a timer every 10 ms; when the timer fires late, a long turn of the loop has delayed it.

    A turn that begins just after a measurement seems shorter than it was, by `PERIOD` at most. On a server
    without work, which `working` ends at once, it is `IDLE_PERIOD`; in `lateness`, one measurement then
    stands for all that would have been made meanwhile, so that its shares remain shares of time.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    longest : float
        Longest delay of the timer since the start, in seconds.
    longest_cpu : float
        The same in seconds of this thread's CPU time: less where other processes used the core.
    long_turns : int
        Delays of more than 50 ms.
    newest : float
        Delay of the newest measurement, in seconds.
    lateness : Histogram
        Delays of all measurements.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._period = PERIOD
        self._idle_at = 0.0  # when the server counts as idle, unless it works until then
        self.longest = self.longest_cpu = 0.0
        self._cpu = 0.0
        self.long_turns = 0
        self.newest = 0.0
        self.lateness = Histogram()
        # The longest delay of this interval and of the one before, and when this interval ends.
        self._this = self._former = self._until = 0.0

    @property
    def recent(self) -> float:
        """As `longest`, for the last 5 to 10 seconds."""
        self._turn_over()
        return max(self._this, self._former)

    def start(self) -> None:
        """Begin to measure, on the running loop."""
        now = self._clock()
        self._until = now + RECENT_SECONDS
        self._idle_at = now + IDLE_AFTER
        self._arm(now, time.thread_time())

    def stop(self) -> None:
        """Measure no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def working(self, now: float) -> None:
        """Note that this turn works, at a time of the clock: from then on measure in the short period."""
        self._idle_at = now + IDLE_AFTER
        # A measurement that is overdue is about to be made: to cancel it would hide the turn that delayed it.
        if self._handle is not None and self._period != PERIOD and now < self._due:
            self._count_skipped(now)
            self._handle.cancel()
            self._arm(now, time.thread_time())

    def note(self, seconds: float, cpu_seconds: float = 0.0) -> None:
        """Record the delay of one measurement."""
        self.longest_cpu = max(self.longest_cpu, cpu_seconds)
        self._turn_over()
        self._this = max(self._this, seconds)
        self.longest = max(self.longest, seconds)
        self.newest = seconds
        self.lateness.add(seconds)
        self.long_turns += seconds > LONG_SECONDS

    def report(self) -> dict[str, Any]:
        """Return what ``/stats`` shows; times in seconds."""
        return {
            "longest": self.longest,
            "longest_cpu": self.longest_cpu,
            "recent": self.recent,
            "over_50_ms": self.long_turns,
        }

    def _count_skipped(self, until: float) -> None:
        """Count the measurements that an idle server did not make, as on time."""
        begun = self._due - self._period
        self.lateness.add(0.0, max(0, round((min(until, self._due) - begun) / PERIOD) - 1))

    def _arm(self, now: float, cpu: float) -> None:
        # Due from the time of this measurement, not from now: a delay between the two counts in the next
        # measurement, and would be lost otherwise.
        self._cpu = cpu
        self._period = PERIOD if now < self._idle_at else IDLE_PERIOD
        self._due = now + self._period
        self._handle = asyncio.get_running_loop().call_later(self._period, self._look)

    def _look(self) -> None:
        now, cpu = self._clock(), time.thread_time()
        if self._period != PERIOD:
            self._count_skipped(now)
        self.note(max(0.0, now - self._due), max(0.0, cpu - self._cpu - self._period))
        self._arm(now, cpu)

    def _turn_over(self) -> None:
        now = self._clock()
        if now >= self._until:
            # After a long time without a measurement, neither interval is recent.
            self._former = self._this if now < self._until + RECENT_SECONDS else 0.0
            self._this = 0.0
            self._until = now + RECENT_SECONDS
