"""Whether and when to reconnect: a backoff strategy, its limits, and the server's hints."""

from __future__ import annotations

import msgspec
import numpy as np

from rtlab.policies.backoff import Backoff

__all__ = ["RetryPolicy"]


class RetryPolicy(msgspec.Struct, frozen=True):
    """Whether and when to make another attempt.

    Parameters
    ----------
    backoff : Backoff
        The strategy that gives the seconds before each retry.
    max_attempts : int or None
        Retries since the last stable connection before giving up; None for no limit. A retry that a
        circuit breaker held back does not count, because it tells nothing new about the server.
    min_uptime : float
        Seconds that a connection must last to reset the count of retries to 0. If the count
        were reset on opening, a server that accepts and closes at once would turn the client
        into a hot loop.
    max_retry_after : float
        The longest hint of a server that is obeyed, in seconds; jitter adds up to a half. Of a longer
        hint, this much is obeyed, and never less than the backoff's delay; so 0 ignores hints.
    retry_initial : bool
        Whether a failed first connect is retried; False reports it at once.
    """

    backoff: Backoff
    max_attempts: int | None = None
    min_uptime: float = 5.0
    max_retry_after: float = 300.0
    retry_initial: bool = False

    def allows(self, retries: int) -> bool:
        """Return whether one more retry is allowed after `retries`."""
        return self.max_attempts is None or retries < self.max_attempts

    def was_stable(self, uptime: float) -> bool:
        """Return whether a connection that lasted `uptime` seconds resets the count of retries."""
        return uptime >= self.min_uptime

    def draw(self, attempt: int, previous: float, rng: np.random.Generator) -> float:
        """Return the backoff's delay in seconds.

        A backoff with `max_attempts` returns ``inf`` after them. Here it repeats its last delay
        instead, because `allows` decides whether to retry.
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
        """Return the delay in seconds, adjusted to the server's hint if there is one.

        Many clients get the same hint at the same time, so jitter of up to a half is added to it
        (as in Envoy's back-off after a rate limit).

        Parameters
        ----------
        drawn : float
            The backoff's delay in seconds.
        retry_after : float or None
            ``Retry-After`` in seconds, to which the backoff's delay is added; so a hint of 0 does
            not cause a hot loop.
        reconnection_time : float or None
            An event stream's ``retry:`` in seconds, which replaces the backoff's delay unless it
            is 0. If `max_retry_after` cuts it, the greater of the two counts: a limit must not make
            the client come back sooner than both the server and the backoff say.
        rng : numpy.random.Generator
            The source of jitter.
        """
        if retry_after is not None:
            return self._spread(retry_after, rng) + drawn
        if reconnection_time:
            obeyed = self._spread(reconnection_time, rng)
            return obeyed if reconnection_time <= self.max_retry_after else max(obeyed, drawn)
        return drawn

    def _spread(self, hint: float, rng: np.random.Generator) -> float:
        return min(max(hint, 0.0), self.max_retry_after) * (1 + 0.5 * rng.random())
