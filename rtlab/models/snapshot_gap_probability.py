"""How likely a reader is to miss a change if it loads a state first and subscribes to changes afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["snapshot_gap_probability"]


def snapshot_gap_probability(rate: Any, window: Any) -> Any:
    """Return the probability that a reader misses a change between its read and its subscription.

    Changes arrive as a Poisson process, so none falls into a window of length T with probability exp(-λT).
    A reader that misses a change shows a stale value until that part of the state changes again.

    Parameters
    ----------
    rate : float or array
        Changes per second, λ.
    window : float or array
        Seconds from reading the state until the server has registered the subscription, T.

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
