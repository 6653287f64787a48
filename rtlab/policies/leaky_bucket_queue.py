"""A queue with a bounded number of places, served at a steady rate."""

from __future__ import annotations

import math
from typing import Final

import msgspec

__all__ = ["PacedQueue"]

#: Places that may seem taken by rounding, so that who comes when a place becomes free is let in.
_ROUNDING: Final = 1e-6


class PacedQueue(msgspec.Struct, frozen=True):
    """Serves one caller every ``1/rate`` seconds; refuses a caller at once if all places are taken.

    It works like nginx's ``limit_req`` with a ``burst``, and like the queue of the simulated server in
    `rtlab.experiments.reconnect`. A place stays taken even if its caller leaves, because the server
    still spends the time, for example on a handshake.

    Parameters
    ----------
    rate : float
        Callers served per second (the service rate μ).
    places : float
        Callers that may be in the queue, including the one being served; ``inf`` for no limit.

    Examples
    --------
    >>> queue, free_at = PacedQueue(rate=10, places=2), 0.0
    >>> for _ in range(3):
    ...     free_at, wait = queue.enter(free_at, now=0.0)
    ...     print(wait)
    0.1
    0.2
    None
    """

    rate: float
    places: float

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise ValueError(f"expected rate > 0, in finite callers per second, got {self.rate!r}")
        if not self.places >= 1:
            raise ValueError(f"expected at least one place, got {self.places!r}")

    def enter(self, free_at: float, now: float) -> tuple[float, float | None]:
        """Take a place if there is one.

        Parameters
        ----------
        free_at : float
            The time at which all callers in the queue will have been served: the last value that
            this returned, or 0.
        now : float
            The present time, in seconds on the same clock.

        Returns
        -------
        free_at : float
            The value for the next call.
        wait : float or None
            Seconds until this caller has been served; None if it is refused.
        """
        begin = max(free_at, now)
        # A caller that is partly served still has its place. The sums of 1/rate have rounding errors.
        rounding = max(_ROUNDING, 2 * self.rate * math.ulp(begin))
        if (begin - now) * self.rate > self.places - 1 + rounding:
            return free_at, None
        done = begin + 1 / self.rate
        return done, done - now

    def drained_in(self, free_at: float, now: float) -> float:
        """Return the seconds until all callers in the queue have been served."""
        return max(0.0, free_at - now)
