"""A queue with a bounded number of places, served at a steady rate."""

from __future__ import annotations

import math

import msgspec

__all__ = ["PacedQueue"]


class PacedQueue(msgspec.Struct, frozen=True):
    """Serves one caller every ``1/rate`` seconds; who finds all places taken is refused at once.

    It is nginx's ``limit_req`` with a ``burst``, and the queue of `rtlab.experiments.reconnect`'s
    simulated server. A place stays taken when its caller leaves: the turn is spent, as the
    work of a handshake is.

    Parameters
    ----------
    rate : float
        Callers that are served per second, μ.
    places : float
        Callers that may wait, the one whose turn it is included; ``inf`` for no limit.

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
        """Take a place, if there is one.

        Parameters
        ----------
        free_at : float
            When all who were let in have been served: the last value returned, or 0.
        now : float
            Seconds of the same clock.

        Returns
        -------
        free_at : float
            For the next call.
        wait : float or None
            Seconds until this caller has been served; None: refused, nothing was taken.
        """
        begin = max(free_at, now)
        # Half a place of tolerance: the sums of 1/rate are rounded.
        if (begin - now) * self.rate > self.places - 0.5:
            return free_at, None
        done = begin + 1 / self.rate
        return done, done - now

    def drained_in(self, free_at: float, now: float) -> float:
        """Return the seconds until all who are in the queue have been served."""
        return max(0.0, free_at - now)
