"""A straight line through points of which some may be outliers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_line"]


def fit_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Fit a line that a few outliers do not move (Theil, 1950; Sen, 1968).

    Parameters
    ----------
    x, y : array of shape (n,)
        Coordinates of the points, with at least two different x.

    Returns
    -------
    slope, intercept : float
        The median slope of all pairs with different x, and the median of ``y - slope * x``.

    Examples
    --------
    >>> fit_line(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 5.0, 7.0, 100.0]))
    (2.0, 1.0)
    """
    first, second = np.triu_indices(len(x), 1)
    apart = x[first] != x[second]
    first, second = first[apart], second[apart]
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    return slope, float(np.median(y - slope * x))
