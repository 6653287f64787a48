"""How late this process's event loop is: the share of a measured latency that is not the network's."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LoopLag"]

_KEPT: Final = 1 << 16


class LoopLag:
    """A ticker that notes how late the running loop calls it.

    Parameters
    ----------
    interval : float
        Seconds between ticks. 5 ms costs about half a percent of one core.
    late : float
        Seconds. A tick that is later than this is noted as a late stretch.

    Notes
    -----
    The ticker is a chain of timers, not a task: there is nothing to await,
    and :meth:`stop` ends it at once. Its schedule is fixed, so a stall is
    counted once, at its full length. Several owners may share one ticker
    (a recorder and its plots): it ticks until the last of them stops it.

    Examples
    --------
    >>> async def main():
    ...     with LoopLag() as lag:
    ...         await asyncio.sleep(0.1)
    ...     return lag.statistics()["ticks"] > 0
    >>> asyncio.run(main())
    True
    """

    def __init__(self, interval: float = 0.005, *, late: float = 0.005) -> None:
        if not 0.0005 <= interval <= 1.0:
            raise ValueError(f"interval is between 0.0005 and 1 s, got {interval!r}")
        if not late > 0:
            raise ValueError(f"late is a positive number of seconds, got {late!r}")
        self.interval = interval
        self.late = late
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._owners: set[object] = set()
        self._due = 0.0
        self._ticks = 0
        self._lags = np.zeros(_KEPT)
        self._stretches: deque[tuple[float, float]] = deque(maxlen=10_000)

    @property
    def running(self) -> bool:
        """Whether the ticker ticks; False once the loop on which it was started is closed."""
        return self._timer is not None and self._loop is not None and not self._loop.is_closed()

    def start(self, owner: object = None) -> None:
        """Start ticking on the running loop, unless it ticks already.

        Parameters
        ----------
        owner : object
            Hashable. The ticker goes on until `stop` is called with the same owner.
        """
        loop = asyncio.get_running_loop()
        if not self.running:
            self._owners.clear()  # left over from a loop that is closed
            self._loop = loop
            self._due = loop.time() + self.interval
            self._timer = loop.call_at(self._due, self._tick)
        self._owners.add(owner)

    def stop(self, owner: object = None) -> None:
        """Stop ticking, unless another owner has started it too; the lags stay. Safe to repeat.

        Parameters
        ----------
        owner : object
            As in `start`.
        """
        self._owners.discard(owner)
        if self._timer is not None and not self._owners:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> LoopLag:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _tick(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        self.note(self._due, now)
        # If the next tick of the schedule is past already, the schedule starts again from now.
        self._due += self.interval
        if self._due <= now:
            self._due = now + self.interval
        self._timer = self._loop.call_at(self._due, self._tick)

    def note(self, due: float, fired: float) -> None:
        """Note one tick: when it was `due` and when it `fired`, in seconds."""
        lag = fired - due
        self._lags[self._ticks % _KEPT] = lag
        self._ticks += 1
        if lag > self.late:
            self._stretches.append((due, fired))

    def lags(self) -> NDArray[np.float64]:
        """Return the kept lags in seconds, unordered, at most 65,536 of them."""
        return self._lags[: min(self._ticks, _KEPT)].copy()

    def stretches(self, since: float = -np.inf) -> NDArray[np.float64]:
        """Return when the loop was late.

        Parameters
        ----------
        since : float
            Leave out stretches that ended before this time, in seconds on the monotonic clock.

        Returns
        -------
        array of shape (n, 2)
            Start and end of each late stretch, in seconds on the monotonic
            clock, in order.
        """
        rows: list[tuple[float, float]] = []
        for stretch in reversed(self._stretches):
            if stretch[1] < since:
                break
            rows.append(stretch)
        return np.array(rows[::-1], dtype=float).reshape(-1, 2)

    def covers(self, times: NDArray[np.float64], since: float = -np.inf) -> NDArray[np.bool_]:
        """Return which `times`, all after `since`, fall into a late stretch or shortly after one.

        The loop reads data that arrived during a stall in its first iterations after the stall,
        so each stretch is extended by one `interval`.
        """
        return in_stretches(times, self.stretches(since - self.interval), self.interval)

    def restore(self, stretches: NDArray[np.float64]) -> None:
        """Take over the late stretches of a saved run."""
        self._stretches.clear()
        self._stretches.extend((float(start), float(end)) for start, end in stretches)

    def statistics(self) -> dict[str, Any]:
        """Return a snapshot: ticks, late stretches, and lag percentiles in ms (None before a tick)."""
        lags = self.lags()
        p50, p99, top = np.percentile(lags, (50, 99, 100)) * 1e3 if lags.size else (None, None, None)
        return {
            "running": self.running,
            "ticks": self._ticks,
            "late_stretches": len(self._stretches),
            "lag_p50_ms": None if p50 is None else round(float(p50), 4),
            "lag_p99_ms": None if p99 is None else round(float(p99), 4),
            "lag_max_ms": None if top is None else round(float(top), 4),
        }

    def __repr__(self) -> str:
        return f"LoopLag(interval={self.interval}, late={self.late})"


def in_stretches(
    times: NDArray[np.float64], stretches: NDArray[np.float64], grace: float
) -> NDArray[np.bool_]:
    """Return which times fall into one of the ordered stretches, lengthened by `grace` seconds."""
    if not len(stretches):
        return np.zeros(times.shape, dtype=bool)
    place = np.searchsorted(stretches[:, 0], times, side="right") - 1
    return (place >= 0) & (times <= stretches[place, 1] + grace)
