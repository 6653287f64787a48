"""How long messages wait when they are produced faster than a rate limit lets them be sent."""

from __future__ import annotations

__all__ = ["last_wait"]


def last_wait(count: int, made: float, rate: float, burst: float) -> float:
    """Return the seconds that the last of `count` messages waits for its turn at a token bucket.

    By time t a bucket has let at most b + r·t messages through, so message n is sent at (n − b)/r, or at
    (n − 1)/p, when it is produced, whichever is later (the bound of a (b, r) regulator: R. Cruz,
    *A Calculus for Network Delay*, 1991).

    Parameters
    ----------
    count : int
        Number of messages, produced on a fixed schedule, the first at 0 s.
    made : float
        Messages produced per second, p.
    rate, burst : float
        Tokens added per second, r, and capacity of the bucket in tokens, b.

    Examples
    --------
    >>> round(last_wait(80, made=100, rate=40, burst=10), 2)
    0.96
    >>> last_wait(80, made=20, rate=40, burst=10)
    0.0
    """
    return max(0.0, (count - burst) / rate - (count - 1) / made)
