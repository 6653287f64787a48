"""What a reader misses that loads a state and then subscribes to its changes."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["snapshot_gap_probability"]


def snapshot_gap_probability(rate: Any, window: Any) -> Any:
    """Return how probable a gap is when changes fall between the read and the subscription.

    Changes come at random moments (a Poisson process). None of them falls into a window of
    length T with probability exp(-λT); each other reader shows something that is not true
    until that part of the state changes again.

    Parameters
    ----------
    rate : float or array
        Changes per second, λ.
    window : float or array
        Seconds from the moment at which the state was read to the one at which the server has
        the subscription, T.

    Returns
    -------
    float or array
        1 - exp(-λT).

    Examples
    --------
    >>> round(float(snapshot_gap_probability(20, 0.05)), 3)
    0.632
    """
    return -np.expm1(-np.asarray(rate, dtype=float) * window)
