"""Sends each connection a heartbeat once per interval, at a phase of its own."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import weakref
from collections.abc import Callable, Container
from typing import Final

from rtlab.server.sinks.sink_interface import Sink

__all__ = ["Heartbeats"]

#: Its multiples modulo 1 are spread evenly, whatever their number: connections that are opened together
#: get their heartbeats at different times.
GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2
#: Seconds: heartbeats that fall due within this time share a timer.
GRAIN: Final = 0.002

_log = logging.getLogger(__name__)


class Heartbeats:
    """Calls each connection's `heartbeat` regularly, on timers of the running loop.

    A client that watches for the server's heartbeats relies on the interval, so each connection has its
    own schedule: after a stall it continues at its phase, and skips heartbeats that fell due meanwhile.

    Parameters
    ----------
    interval : float or None
        Seconds between two heartbeats of a connection; None sends none.
    alive : container of Sink
        The open connections; an ended one is forgotten when its next heartbeat is due.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    missed : int
        Connections ended because the client had not answered the previous heartbeat.
    """

    def __init__(self, interval: float | None, alive: Container[Sink], clock: Callable[[], float]) -> None:
        self._interval = interval
        self._alive = alive
        self._clock = clock
        # Weak references: an ended connection owns a compressor of a quarter of a megabyte, and would keep
        # it until its next heartbeat. Clients that connect and leave all the time would fill the memory.
        self._due: list[tuple[float, int, weakref.ref[Sink]]] = []
        self._count = 0
        self.missed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = math.inf

    def add(self, sink: Sink) -> None:
        """Schedule a connection's heartbeats; the first comes in the second half of the interval.

        An earlier one would be of no use: the client has just received the welcome.
        """
        if self._interval is None or sink.transport == "longpoll":  # a poll ends by itself
            return
        self._count += 1
        first = self._clock() + self._interval * (1 + self._count * GOLDEN_RATIO % 1) / 2
        heapq.heappush(self._due, (first, self._count, weakref.ref(sink)))
        if first < self._timer_due:
            self._arm(first)

    def stop(self) -> None:
        """Send no more heartbeats."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_later(max(GRAIN, due - self._clock()), self._beat)

    def _beat(self) -> None:
        """Send the heartbeats that are due, and arm the timer for the next ones."""
        self._timer, self._timer_due = None, math.inf
        assert self._interval is not None
        now = self._clock()
        while self._due and self._due[0][0] <= now + GRAIN / 2:
            due, number, found = heapq.heappop(self._due)
            sink = found()
            if sink is None or sink not in self._alive:
                continue
            try:
                self.missed += not sink.heartbeat()
            except Exception:
                # A failing heartbeat must not stop those of other connections.
                _log.exception("a heartbeat failed; the others go on")
            missed = max(0.0, now - due) // self._interval
            heapq.heappush(self._due, (due + self._interval * (1 + missed), number, found))
        if self._due:
            self._arm(self._due[0][0])
