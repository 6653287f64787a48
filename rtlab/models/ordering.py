"""Reordering of one stream over several paths: closed-form models of a pool with one slower member."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ordered_wait", "overtakes"]


def overtakes(delay: ArrayLike, interval: float, members: int = 2) -> NDArray[np.float64]:
    """Mean number of messages that overtake a message on the slow member's path: (D/g)·(m − 1)/m.

    Parameters
    ----------
    delay : float or array
        D: seconds by which the slow member's path takes longer than the others.
    interval : float
        g: seconds between two messages, which are distributed round-robin.
    members : int
        m: number of members in the pool.

    Returns
    -------
    float or array
        Messages. D/g of them are sent in the D seconds by which the slow path lags; of these, a share of
        (m − 1)/m takes the fast paths.

    Examples
    --------
    >>> float(overtakes(0.06, 0.01))
    3.0
    """
    return np.asarray(delay, np.float64) / interval * (members - 1) / members


def ordered_wait(delay: ArrayLike, interval: float, members: int = 2) -> NDArray[np.float64]:
    """Mean time that a message from a fast path waits in a reorder buffer: D − m·g/2.

    Parameters
    ----------
    delay, interval, members
        As for `overtakes`. D must be at least (m − 1)·g; below that, some messages do not wait at all.

    Returns
    -------
    float or array
        Seconds. The k-th message after one on the slow path, k from 1 to m − 1, is sent k·g later and
        waits D − k·g for it.

    Examples
    --------
    >>> round(float(ordered_wait(0.06, 0.01)), 3)
    0.05
    """
    return np.asarray(delay, np.float64) - members * interval / 2
