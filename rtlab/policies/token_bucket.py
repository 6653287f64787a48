"""A token bucket: a rate that forgives a burst."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

__all__ = ["Bucket", "TokenBucket"]

#: Tokens that may be missing, so that who waited as long as `wait` said is let in.
_ROUNDING = 1e-6


@dataclass(slots=True)
class Bucket:
    """The tokens that were left at a moment. Only `spend` changes one.

    Not a `msgspec.Struct`: to set a field of one takes twice as long, and a server sets two for each message.

    Parameters
    ----------
    tokens : float
        Tokens in the bucket.
    at : float
        When they were counted, in seconds of the caller's clock.
    """

    tokens: float
    at: float


class TokenBucket(msgspec.Struct, frozen=True):
    """At most ``burst + rate · t`` tokens in any window of t seconds.

    The bucket starts full. At a peak of p > rate a burst lasts ``burst / (p − rate)``
    seconds. A fixed window ("100 per second") would admit up to twice its limit around
    a boundary; this does not.

    Parameters
    ----------
    rate : float
        Tokens that flow in, per second.
    burst : float
        Tokens that the bucket holds.

    Examples
    --------
    >>> limit = TokenBucket(rate=10, burst=2)
    >>> bucket = limit.start(now=0.0)
    >>> for _ in range(3):
    ...     bucket, allowed = limit.take(bucket, now=0.0)
    ...     print(allowed)
    True
    True
    False
    >>> limit.wait(bucket, now=0.0)
    0.1
    """

    rate: float
    burst: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise ValueError(f"expected rate > 0, in finite tokens per second, got {self.rate!r}")
        if not 0 < self.burst < math.inf:
            raise ValueError(f"expected burst > 0, in finite tokens, got {self.burst!r}")

    def start(self, now: float) -> Bucket:
        """Return a full bucket."""
        return Bucket(self.burst, now)

    def take(self, bucket: Bucket, now: float, tokens: float = 1.0) -> tuple[Bucket, bool]:
        """Take `tokens` if they are there.

        Parameters
        ----------
        bucket : Bucket
            The last one returned.
        now : float
            Seconds; a step back in time adds nothing.
        tokens : float
            What it costs, above 0.

        Returns
        -------
        bucket : Bucket
            What is left.
        allowed : bool
            False: nothing was taken.

        Raises
        ------
        ValueError
            If `tokens` is not above 0, or is more than the bucket ever holds.
        """
        after = Bucket(bucket.tokens, bucket.at)
        return after, self.spend(after, now, tokens)

    def spend(self, bucket: Bucket, now: float, tokens: float = 1.0) -> bool:
        """Take `tokens` as `take` does, out of this very bucket: what a server does for every message.

        Parameters
        ----------
        bucket, now, tokens
            As for `take`.

        Returns
        -------
        bool
            False: nothing was taken.
        """
        if not 0 < tokens <= self.burst:
            raise ValueError(f"expected 0 < tokens <= burst = {self.burst:g}, got {tokens!r}: split it")
        left, passed = bucket.tokens, now - bucket.at
        if passed > 0:
            bucket.at = now
            left += self.rate * passed
            if left > self.burst:
                left = self.burst
        allowed = left >= tokens - _ROUNDING
        bucket.tokens = left - tokens if allowed else left
        return allowed

    def wait(self, bucket: Bucket, now: float, tokens: float = 1.0) -> float:
        """Return the seconds until `take` of as many `tokens` can succeed; 0 if it can now."""
        if not 0 < tokens <= self.burst:
            raise ValueError(f"expected 0 < tokens <= burst = {self.burst:g}, got {tokens!r}: split it")
        there = min(self.burst, bucket.tokens + self.rate * max(0.0, now - bucket.at))
        missing = tokens - there
        return missing / self.rate if missing > _ROUNDING else 0.0
