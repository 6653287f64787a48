"""A token bucket: a rate limit that allows bursts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

__all__ = ["Bucket", "TokenBucket"]

#: Tokens that may be missing by rounding, so that a caller that waited as long as `wait` said is let in;
#: more if the clock cannot tell times apart in which more tokens are added.
_ROUNDING = 1e-6


@dataclass(slots=True)
class Bucket:
    """The tokens that were left at one time. Only `spend` changes a bucket.

    This is not a `msgspec.Struct`, because setting a field of one takes twice as long, and a server sets
    two fields for each message.

    Parameters
    ----------
    tokens : float
        The tokens in the bucket.
    at : float
        When the tokens were counted, in seconds on the caller's clock.
    """

    tokens: float
    at: float


class TokenBucket(msgspec.Struct, frozen=True):
    """At most ``burst + rate · t`` tokens in any window of t seconds.

    The bucket starts full. At a peak rate p > rate, a burst lasts ``burst / (p − rate)``
    seconds. Unlike a fixed window ("100 per second"), a token bucket does not admit twice its
    limit around a boundary of windows.

    Parameters
    ----------
    rate : float
        Tokens added per second.
    burst : float
        The most tokens that the bucket holds.

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
        """Take `tokens` if the bucket has them.

        Parameters
        ----------
        bucket : Bucket
            The bucket that the last call returned; it is not changed.
        now : float
            The time in seconds; a clock that went back adds no tokens.
        tokens : float
            How many tokens to take, above 0.

        Returns
        -------
        bucket : Bucket
            The bucket afterwards.
        allowed : bool
            Whether the tokens were taken; if not, none was.

        Raises
        ------
        ValueError
            `tokens` is not above 0, or is more than the bucket ever holds.
        """
        after = Bucket(bucket.tokens, bucket.at)
        return after, self.spend(after, now, tokens)

    def spend(self, bucket: Bucket, now: float, tokens: float = 1.0) -> bool:
        """Take `tokens` as `take` does, but change `bucket` itself, which is faster.

        Parameters
        ----------
        bucket, now, tokens
            As for `take`.

        Returns
        -------
        bool
            Whether the tokens were taken; if not, none was.
        """
        if not 0 < tokens <= self.burst:
            raise ValueError(f"expected 0 < tokens <= burst = {self.burst:.12g}, got {tokens!r}: split it")
        left, passed = bucket.tokens, now - bucket.at
        if passed > 0:
            bucket.at = now
            left += self.rate * passed
            if left > self.burst:
                left = self.burst
        # The usual case comes first: the smallest step of the clock costs a call.
        allowed = left >= tokens - _ROUNDING or left >= tokens - self._rounding(now)
        bucket.tokens = left - tokens if allowed else left
        return allowed

    def wait(self, bucket: Bucket, now: float, tokens: float = 1.0) -> float:
        """Return the seconds until `take` can succeed for `tokens`; 0 if it can now."""
        if not 0 < tokens <= self.burst:
            raise ValueError(f"expected 0 < tokens <= burst = {self.burst:.12g}, got {tokens!r}: split it")
        there = min(self.burst, bucket.tokens + self.rate * max(0.0, now - bucket.at))
        missing = tokens - there
        return missing / self.rate if missing > self._rounding(now) else 0.0

    def _rounding(self, now: float) -> float:
        """Return the tokens that may be missing because `now` and the pause before it were rounded."""
        return max(_ROUNDING, 2 * self.rate * math.ulp(now))
