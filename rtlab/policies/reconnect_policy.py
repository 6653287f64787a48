"""Whether to connect again, and after how long: a backoff, its limits, and what the server said."""

from __future__ import annotations

import msgspec
import numpy as np

from rtlab.policies.backoff import Backoff

__all__ = ["RetryPolicy"]


class RetryPolicy(msgspec.Struct, frozen=True):
    """When to try again.

    Parameters
    ----------
    backoff : Backoff
        Gives the seconds before each retry.
    max_attempts : int or None
        Retries after a stable connection before giving up; None for no limit. One that a
        circuit breaker held back says nothing new about the server, and does not count.
    min_uptime : float
        Seconds that a connection must last before the count of retries starts
        again from 0. Resetting on open instead would let a server that accepts
        and closes turn the client into a hot loop.
    max_retry_after : float
        The longest hint of a server that is obeyed, in seconds (and up to a half more).
    retry_initial : bool
        Whether a first connect that fails is retried, or reported at once.
    """

    backoff: Backoff
    max_attempts: int | None = None
    min_uptime: float = 5.0
    max_retry_after: float = 300.0
    retry_initial: bool = False

    def allows(self, retries: int) -> bool:
        """Return whether one more retry is allowed after so many."""
        return self.max_attempts is None or retries < self.max_attempts

    def draw(self, attempt: int, previous: float, rng: np.random.Generator) -> float:
        """Return the backoff's delay in seconds.

        A backoff with an end returns ``inf`` beyond it. Whether to retry is for `allows` to
        decide, so here such a backoff repeats its last delay.
        """
        end = self.backoff.max_attempts
        return self.backoff.delay(attempt if end is None else min(attempt, end - 1), previous, rng)

    def with_hints(
        self,
        drawn: float,
        retry_after: float | None,
        reconnection_time: float | None,
        rng: np.random.Generator,
    ) -> float:
        """Return the delay after what the server said, if it said anything.

        Many clients are told the same at the same moment, so a hint gets jitter of its own,
        up to a half on top (as Envoy's back-off after a rate limit has).

        Parameters
        ----------
        drawn : float
            The backoff's delay, seconds.
        retry_after : float or None
            ``Retry-After`` in seconds: the earliest moment, at which our own delay begins. *0*
            leaves that delay, and is no hot loop.
        reconnection_time : float or None
            An event stream's ``retry:`` in seconds; takes our delay's place, unless it is 0.
        rng : numpy.random.Generator
            The source of jitter.
        """
        if retry_after is not None:
            return self._spread(retry_after, rng) + drawn
        if reconnection_time:
            return self._spread(reconnection_time, rng)
        return drawn

    def _spread(self, hint: float, rng: np.random.Generator) -> float:
        return min(max(hint, 0.0), self.max_retry_after) * (1 + 0.5 * rng.random())
