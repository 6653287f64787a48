"""How long the turns of the server's own loop are, measured by the loop itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from rtlab.server.histogram import Histogram

__all__ = ["PERIOD", "TurnMeter"]

#: Seconds between two looks. They take about 0.05 % of a core.
PERIOD: Final = 0.01

#: What an honest client may have to wait for somebody else's work, at most.
LONG_SECONDS: Final = 0.05

#: How far back `recent` reaches: one to two times this.
RECENT_SECONDS: Final = 5.0


class TurnMeter:
    """Looks at the clock every 10 ms; a look that comes late was kept waiting by a turn.

    A turn that begins just after a look is seen shorter than it was, by `PERIOD` at most.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    longest : float
        Seconds that the longest turn kept a look waiting, since the start.
    longest_cpu : float
        The same in seconds of this thread's CPU time: less, where other processes had the core.
    long_turns : int
        How many took more than 50 ms.
    newest : float
        What the newest look found, seconds.
    lateness : Histogram
        Of all looks.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.longest = self.longest_cpu = 0.0
        self._cpu = 0.0
        self.long_turns = 0
        self.newest = 0.0
        self.lateness = Histogram()
        # The longest of this interval and of the one before, and when this one ends.
        self._this = self._former = self._until = 0.0

    @property
    def recent(self) -> float:
        """As `longest`, for the last 5 to 10 seconds."""
        self._turn_over()
        return max(self._this, self._former)

    def start(self) -> None:
        """Begin, on the running loop."""
        self._until = self._clock() + RECENT_SECONDS
        self._arm(self._clock(), time.thread_time())

    def stop(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def note(self, seconds: float, cpu_seconds: float = 0.0) -> None:
        """Take one look's lateness into account."""
        self.longest_cpu = max(self.longest_cpu, cpu_seconds)
        self._turn_over()
        self._this = max(self._this, seconds)
        self.longest = max(self.longest, seconds)
        self.newest = seconds
        self.lateness.add(seconds)
        self.long_turns += seconds > LONG_SECONDS

    def report(self) -> dict[str, Any]:
        """Return what ``/stats`` shows; seconds."""
        return {
            "longest": self.longest,
            "longest_cpu": self.longest_cpu,
            "recent": self.recent,
            "over_50_ms": self.long_turns,
        }

    def _arm(self, now: float, cpu: float) -> None:
        # From the moment of this look, not from now: what holds the process up between the two belongs
        # to the next look, and would be seen by none.
        self._cpu = cpu
        self._due = now + PERIOD
        self._handle = asyncio.get_running_loop().call_later(PERIOD, self._look)

    def _look(self) -> None:
        now, cpu = self._clock(), time.thread_time()
        self.note(max(0.0, now - self._due), max(0.0, cpu - self._cpu - PERIOD))
        self._arm(now, cpu)

    def _turn_over(self) -> None:
        now = self._clock()
        if now >= self._until:
            # After a long silence, neither interval is recent.
            self._former = self._this if now < self._until + RECENT_SECONDS else 0.0
            self._this = 0.0
            self._until = now + RECENT_SECONDS
