"""What a bounded window of unanswered messages lets through."""

from __future__ import annotations

__all__ = ["window_for", "window_throughput"]


def window_throughput(window: float, rtt: float) -> float:
    """Return the messages per second of a sender that has at most `window` without an answer.

    By Little's law (J. Little, *A Proof for the Queuing Formula L = λW*, 1961) with L the window and
    W the round trip: while the window is full, λ = L / W. The server's own time is left out.

    Parameters
    ----------
    window : float
        Messages.
    rtt : float
        Seconds from a message's sending to its answer.

    Examples
    --------
    >>> window_throughput(5, 0.1)
    50.0
    """
    return window / rtt


def window_for(rate: float, rtt: float) -> float:
    """Return the window that a rate needs, in messages.

    Parameters
    ----------
    rate : float
        Messages per second.
    rtt : float
        Seconds.

    Examples
    --------
    >>> window_for(1000, 0.2)
    200.0
    """
    return rate * rtt
