"""What several paths do to the order of one stream: closed forms for a pool with one slower member."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ordered_wait", "overtakes"]


def overtakes(delay: ArrayLike, interval: float, members: int = 2) -> NDArray[np.float64]:
    """Messages that overtake one of the slow member's, in the mean: (D/g)·(m − 1)/m.

    Parameters
    ----------
    delay : float or array
        D: by how much one member's path takes longer, seconds.
    interval : float
        g: seconds between two messages, which are given out in turns.
    members : int
        m: how many members take turns.

    Returns
    -------
    float or array
        While the slow one is on its way D/g are sent, and a share of (m − 1)/m goes the quick ways.

    Examples
    --------
    >>> float(overtakes(0.06, 0.01))
    3.0
    """
    return np.asarray(delay, np.float64) / interval * (members - 1) / members


def ordered_wait(delay: ArrayLike, interval: float, members: int = 2) -> NDArray[np.float64]:
    """Mean time that a quick message waits in a reorder buffer: D − m·g/2.

    Parameters
    ----------
    delay, interval, members
        As for `overtakes`; D of at least (m − 1)·g, or the last of them do not wait at all.

    Returns
    -------
    float or array
        Seconds. The k-th message after a slow one, k from 1 to m − 1, was sent k·g later and
        waits D − k·g for it.

    Examples
    --------
    >>> round(float(ordered_wait(0.06, 0.01)), 3)
    0.05
    """
    return np.asarray(delay, np.float64) - members * interval / 2
