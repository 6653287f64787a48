"""The load that a herd of reconnecting clients puts on a server, as closed-form models.

N clients reconnect; `cap` is their longest backoff delay; the server accepts μ connections per second.
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

#: First and second moment of a delay whose ceiling is the cap, in units of the cap and of its square.
_MOMENTS: Final[Mapping[Jitter, tuple[float, float]]] = {
    "none": (1.0, 1.0),
    "full": (1 / 2, 1 / 3),
    "equal": (3 / 4, 7 / 12),
}


def attempt_rate_at_cap(clients: ArrayLike, cap: ArrayLike, jitter: Jitter) -> NDArray[np.float64]:
    """Mean attempts per second while the server is down and all backoffs are at the cap: N / E[D].

    The rate is N/cap without jitter, 4N/(3 cap) with equal jitter and 2N/cap with full jitter: jitter
    raises the mean rate but lowers the peak.

    Parameters
    ----------
    clients : float or array
        Number of clients, N.
    cap : float or array
        Longest backoff delay in seconds.
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

    The outage ends at a random moment of the delay in progress, so the mean remainder of that delay is
    the mean residual life of a renewal process (Feller, volume II, section XI.4): c/2 without jitter,
    7c/18 with equal jitter and c/3 with full jitter.

    Parameters
    ----------
    cap : float or array
        Longest backoff delay in seconds, c. The outage must be much longer.
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
    """Longest time in the accept queue when all clients connect within a window: max(0, N/μ − W).

    Connections arrive evenly at N/W, so the queue grows at N/W − μ for W seconds, and the last connection
    waits for all those before it. With W ≥ N/μ no connection waits.

    Parameters
    ----------
    clients : float or array
        Number of clients, N.
    capacity : float or array
        Accepted connections per second, μ.
    window : float or array
        Seconds over which the clients spread their attempts, one each, W.

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
    """Time until the last client is connected: max(W, N/μ). Up to W = N/μ, spreading costs no time.

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

    When a node goes down, its clients move to the others in equal parts; r = n/(n−1). Each restart
    multiplies the load of the nodes not yet restarted by r, so the k-th restart moves rᵏ⁻¹ mean loads.

    Parameters
    ----------
    nodes : int or array
        n, at least 2.

    Returns
    -------
    float or array
        In units of the mean load; tends to e − 1 as n → ∞. The node restarted last ends up empty.

    Examples
    --------
    >>> round(float(rolling_restart_first_node(10)), 3)
    1.757
    """
    n = np.asarray(nodes, float)
    r = n / (n - 1)
    return r**n - r


def rolling_restart_reconnects(nodes: ArrayLike) -> NDArray[np.float64]:
    """Mean reconnects per client in a rolling restart: (1 − 1/n)(rⁿ − 1), not just 1 as one might expect.

    Parameters
    ----------
    nodes : int or array
        n, at least 2; r = n/(n−1).

    Returns
    -------
    float or array
        Mean reconnects; tends to e − 1 as n → ∞.

    Examples
    --------
    >>> round(float(rolling_restart_reconnects(10)), 2)
    1.68
    """
    n = np.asarray(nodes, float)
    return (1 - 1 / n) * ((n / (n - 1)) ** n - 1)
