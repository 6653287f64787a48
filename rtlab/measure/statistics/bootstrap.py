"""A confidence interval by bootstrap: how far a mean varies if groups of samples are drawn again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap_mean"]


def bootstrap_mean(
    sums: NDArray[np.float64], counts: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of samples that come in groups.

    The percentile bootstrap over whole groups (Efron and Tibshirani, *An Introduction to the Bootstrap*,
    §13.3): samples of one group depend on each other, so groups are drawn rather than samples.

    Parameters
    ----------
    sums : array of shape (groups,)
        Sum of the samples of each group, in any unit.
    counts : array of shape (groups,)
        Number of samples of each group.
    resamples : int
        How often groups are drawn, with replacement.
    seed : int
        Seed of the draw.

    Returns
    -------
    low, high : float
        The ends of the interval, in the unit of the samples.

    Raises
    ------
    ValueError
        When there is no group, a group is empty, or the arrays differ in length.

    Examples
    --------
    >>> bootstrap_mean(np.array([2.0, 2.0]), np.array([1, 1]))
    (2.0, 2.0)
    """
    if len(sums) != len(counts) or len(sums) == 0 or not bool(np.all(counts > 0)):
        raise ValueError(f"expected a sum and a count >= 1 for each group, got {len(sums)} and {counts}")
    drawn = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high
