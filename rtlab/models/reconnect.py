"""What a herd of reconnecting clients does to a server: closed forms.

`N` clients, a longest delay `cap`, a server that accepts μ connections a second.
All functions take numbers or arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Jitter",
    "attempt_rate_at_cap",
    "longest_wait",
    "rolling_restart_first_node",
    "rolling_restart_reconnects",
    "time_to_all_in",
    "time_to_next_attempt",
]

Jitter = Literal["none", "full", "equal"]

#: First and second moment of the delay at the cap, in units of the cap and of its square.
_MOMENTS: Final[Mapping[Jitter, tuple[float, float]]] = {
    "none": (1.0, 1.0),
    "full": (1 / 2, 1 / 3),
    "equal": (3 / 4, 7 / 12),
}


def attempt_rate_at_cap(clients: ArrayLike, cap: ArrayLike, jitter: Jitter) -> NDArray[np.float64]:
    """Mean attempts per second while the server is down and all delays are at the cap: N / E[D].

    Without jitter N/cap, with equal jitter 4N/(3 cap), with full jitter 2N/cap: jitter
    raises the mean rate, and lowers the peak.

    Parameters
    ----------
    clients : float or array
        N.
    cap : float or array
        Seconds.
    jitter : {"none", "full", "equal"}
        How the delay is drawn from its ceiling.

    Returns
    -------
    float or array
        Attempts per second.

    Examples
    --------
    >>> [round(float(attempt_rate_at_cap(900, 30, j))) for j in ("none", "equal", "full")]
    [30, 40, 60]
    """
    return np.asarray(clients, float) / (np.asarray(cap, float) * _MOMENTS[jitter][0])


def time_to_next_attempt(cap: ArrayLike, jitter: Jitter) -> NDArray[np.float64]:
    """Mean time from the end of a long outage to a client's next attempt: E[D²] / (2 E[D]).

    The outage ends at a random moment of the delay in progress, so what is left of it has
    the mean residual life of a renewal process (Feller, volume II, section XI.4): c/2
    without jitter, 7c/18 with equal and c/3 with full jitter.

    Parameters
    ----------
    cap : float or array
        Seconds, c; the outage is much longer.
    jitter : {"none", "full", "equal"}
        How the delay is drawn from its ceiling.

    Returns
    -------
    float or array
        Seconds.

    Examples
    --------
    >>> [round(float(time_to_next_attempt(36, j))) for j in ("none", "equal", "full")]
    [18, 14, 12]
    """
    first, second = _MOMENTS[jitter]
    return np.asarray(cap, float) * second / (2 * first)


def longest_wait(clients: ArrayLike, capacity: ArrayLike, window: ArrayLike) -> NDArray[np.float64]:
    """Longest time in the accept queue when all come within a window: max(0, N/μ − W).

    Arrivals at the even rate N/W fill the queue at N/W − μ for W seconds, and the last one in
    it waits for all others. Choose W ≥ N/μ, and nobody waits.

    Parameters
    ----------
    clients : float or array
        N.
    capacity : float or array
        Accepted connections per second, μ.
    window : float or array
        Seconds over which the clients spread their one attempt, W.

    Returns
    -------
    float or array
        Seconds.

    Examples
    --------
    >>> [float(longest_wait(10_000, 1_000, w)) for w in (0, 4, 10)]
    [10.0, 6.0, 0.0]
    """
    needed = np.asarray(clients, float) / np.asarray(capacity, float)
    return np.maximum(0.0, needed - np.asarray(window, float))


def time_to_all_in(clients: ArrayLike, capacity: ArrayLike, window: ArrayLike) -> NDArray[np.float64]:
    """Time until the last client is connected: max(W, N/μ). Up to W = N/μ, spreading is free.

    Parameters
    ----------
    clients, capacity, window : float or array
        As in `longest_wait`.

    Returns
    -------
    float or array
        Seconds.
    """
    needed = np.asarray(clients, float) / np.asarray(capacity, float)
    return np.maximum(np.asarray(window, float), needed)


def rolling_restart_first_node(nodes: ArrayLike) -> NDArray[np.float64]:
    """Load of the node restarted first when all have been restarted once: rⁿ − r times the mean.

    A node that goes down hands its clients to the others in equal parts; r = n/(n−1). Each
    restart multiplies the load of those still to come by r, so the k-th hands on rᵏ⁻¹.

    Parameters
    ----------
    nodes : int or array
        n, at least 2.

    Returns
    -------
    float or array
        In units of the mean load; → e − 1. The node restarted last ends empty.

    Examples
    --------
    >>> round(float(rolling_restart_first_node(10)), 3)
    1.757
    """
    n = np.asarray(nodes, float)
    r = n / (n - 1)
    return r**n - r


def rolling_restart_reconnects(nodes: ArrayLike) -> NDArray[np.float64]:
    """Reconnects per client in a rolling restart: (1 − 1/n)(rⁿ − 1), more than the one expected.

    Parameters
    ----------
    nodes : int or array
        n, at least 2; r = n/(n−1).

    Returns
    -------
    float or array
        Mean reconnects; → e − 1.

    Examples
    --------
    >>> round(float(rolling_restart_reconnects(10)), 2)
    1.68
    """
    n = np.asarray(nodes, float)
    return (1 - 1 / n) * ((n / (n - 1)) ** n - 1)
