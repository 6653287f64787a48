"""The Kolmogorov–Smirnov distance between samples and a distribution, and the bound that judges it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ks_bound", "ks_distance"]


def ks_distance(
    samples: ArrayLike,
    cdf: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    earliest: ArrayLike | None = None,
) -> float:
    """Return Kolmogorov–Smirnov's D: the largest distance between the empirical CDF and `cdf`.

    Parameters
    ----------
    samples : array of float
        In any order; ``inf`` is larger than every number.
    cdf : callable
        The distribution's cumulative distribution function, such as `Uniform.cdf`.
    earliest : array of float, optional
        A lower bound of each sample's true value, where a clock was read late. Then D is
        the smallest distance of any samples between these bounds.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> ks_distance([0.25, 0.75], lambda x: x)
    0.25
    """
    latest = np.sort(np.asarray(samples, float))
    first = latest if earliest is None else np.sort(np.asarray(earliest, float))
    steps = np.arange(len(latest) + 1) / len(latest)
    return float(max(0.0, (steps[1:] - cdf(latest)).max(), (cdf(first) - steps[:-1]).max()))


def ks_bound(n: int, alpha: float = 0.001) -> float:
    """Return the D that `n` samples of the distribution itself exceed with probability at most `alpha`.

    √(ln(2/α) / 2n), the Dvoretzky–Kiefer–Wolfowitz inequality with Massart's constant (*The
    Annals of Probability*, 1990): it holds for every n, not only for large ones.

    Parameters
    ----------
    n : int
        Number of samples.
    alpha : float
        Probability of rejecting a distribution that is the right one.

    Returns
    -------
    float

    Examples
    --------
    >>> round(ks_bound(150), 3)
    0.159
    """
    return math.sqrt(math.log(2 / alpha) / (2 * n))
