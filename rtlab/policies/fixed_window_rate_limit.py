"""A fixed-window rate limit. Around a boundary of two windows it admits up to twice its limit."""

from __future__ import annotations

import math

import msgspec

from rtlab.policies.token_bucket import Bucket

__all__ = ["FixedWindow"]


class FixedWindow(msgspec.Struct, frozen=True):
    """At most `limit` tokens in each window of the clock.

    A caller that spends the whole limit just before the boundary of two windows, and again just
    after it, gets ``2 · limit`` at almost the same time; a token bucket avoids that. This class has
    the methods of `TokenBucket`, so that either can replace the other.

    Parameters
    ----------
    limit : float
        Tokens per window.
    window : float
        The window's length in seconds; windows begin at multiples of it.

    Examples
    --------
    >>> rule = FixedWindow(limit=2)
    >>> state, admitted = rule.start(now=0.9), 0
    >>> for now in (0.9, 0.9, 0.9, 1.1, 1.1, 1.1):
    ...     state, allowed = rule.take(state, now)
    ...     admitted += allowed
    >>> admitted
    4
    """

    limit: float
    window: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.limit < math.inf:
            raise ValueError(f"expected limit > 0, in finite tokens, got {self.limit!r}")
        if not 0 < self.window < math.inf:
            raise ValueError(f"expected window > 0, in finite seconds, got {self.window!r}")

    @property
    def rate(self) -> float:
        """Tokens per second, on average."""
        return self.limit / self.window

    @property
    def burst(self) -> float:
        """The most tokens that can be taken at once."""
        return self.limit

    def start(self, now: float) -> Bucket:
        """Return the window that contains `now`, with no tokens taken."""
        number = math.floor(now / self.window)
        if number * self.window + self.window <= now:
            number += 1  # the quotient was rounded down, and this window ends at `now`
        return Bucket(self.limit, number * self.window)

    def take(self, bucket: Bucket, now: float, tokens: float = 1.0) -> tuple[Bucket, bool]:
        """Take `tokens` if the window has them; see `TokenBucket.take`."""
        after = Bucket(bucket.tokens, bucket.at)
        return after, self.spend(after, now, tokens)

    def spend(self, bucket: Bucket, now: float, tokens: float = 1.0) -> bool:
        """Take `tokens` from `bucket` in place; see `TokenBucket.spend`."""
        if not 0 < tokens <= self.limit:
            raise ValueError(f"expected 0 < tokens <= limit = {self.limit:.12g}, got {tokens!r}: split it")
        if now >= bucket.at + self.window:
            begun = self.start(now)
            bucket.tokens, bucket.at = begun.tokens, begun.at
        if bucket.tokens < tokens:
            return False
        bucket.tokens -= tokens
        return True

    def wait(self, bucket: Bucket, now: float, tokens: float = 1.0) -> float:
        """Return the seconds until `take` can succeed for `tokens`; 0 if it can now."""
        if self.take(bucket, now, tokens)[1]:
            return 0.0
        return max(0.0, bucket.at + self.window - now)
