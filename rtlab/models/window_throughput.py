"""Throughput of a sender whose window of unacknowledged messages is bounded."""

from __future__ import annotations

__all__ = ["window_for", "window_throughput"]


def window_throughput(window: float, rtt: float) -> float:
    """Return the messages per second of a sender with at most `window` unacknowledged messages.

    By Little's law (J. Little, *A Proof for the Queuing Formula L = λW*, 1961) with L the window and
    W the round trip: while the window is full, λ = L / W. The server's processing time is left out.

    Parameters
    ----------
    window : float
        Largest number of unacknowledged messages.
    rtt : float
        Seconds from sending a message until its acknowledgement arrives.

    Examples
    --------
    >>> window_throughput(5, 0.1)
    50.0
    """
    return window / rtt


def window_for(rate: float, rtt: float) -> float:
    """Return the window, in messages, that a sender needs for a given rate.

    Parameters
    ----------
    rate : float
        Messages per second.
    rtt : float
        Round-trip time in seconds.

    Examples
    --------
    >>> window_for(1000, 0.2)
    200.0
    """
    return rate * rtt
