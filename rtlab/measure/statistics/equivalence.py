"""A test whether two latencies are the same for practical purposes; its answer may be yes or no.

That a test finds no difference proves nothing: with few samples it never finds one. So
the question is reversed. First a *margin* is stated, the smallest difference that would
matter; two latencies are the same only if the whole confidence interval lies within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

__all__ = ["Equivalence", "equivalence"]

_MIN_RUNS: Final = 5


class Equivalence(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a test of equivalence.

    Parameters
    ----------
    a, b : str
        Names of the two things that were compared.
    difference_ms : float
        Estimate of how much later `a` is than `b`.
    low_ms, high_ms : float
        Bounds of the difference's confidence interval.
    margin_ms : float
        The smallest difference that would matter, stated beforehand.
    confidence : float
        Level of the interval; each of the two one-sided tests has the level (1 - confidence) / 2.
    runs : int
        Pairs of runs.
    """

    a: str
    b: str
    difference_ms: float
    low_ms: float
    high_ms: float
    margin_ms: float
    confidence: float
    runs: int

    @property
    def equivalent(self) -> bool:
        """Whether the whole interval lies within the margin."""
        return -self.margin_ms < self.low_ms and self.high_ms < self.margin_ms

    @property
    def different(self) -> bool:
        """Whether the whole interval lies beyond the margin."""
        return self.low_ms >= self.margin_ms or self.high_ms <= -self.margin_ms

    @property
    def verdict(self) -> str:
        """The outcome in words, without a measured time in it."""
        margin = f"{self.margin_ms:g} ms"
        if self.equivalent:
            return f"{self.a} and {self.b} are equivalent: less than {margin} apart"
        if self.different:
            later, earlier = (self.a, self.b) if self.difference_ms > 0 else (self.b, self.a)
            return f"{later} is later than {earlier}, by more than {margin}"
        return f"undecided whether {self.a} and {self.b} are {margin} apart: take more runs"

    def __repr__(self) -> str:
        return f"<Equivalence: {self.verdict}>"


def equivalence(
    a_ms: Sequence[float],
    b_ms: Sequence[float],
    margin_ms: float,
    *,
    confidence: float = 0.90,
    names: tuple[str, str] = ("a", "b"),
) -> Equivalence:
    """Test whether two things take the same time, within a margin.

    Parameters
    ----------
    a_ms, b_ms : sequence of float
        One number for each run, in milliseconds, such as its median; run i of both was
        taken at the same time, or in turns. Not one number per message: the messages of a
        run share its conditions, so they are not independent.
    margin_ms : float
        The smallest difference that would matter. State it before looking at the results.
    confidence : float
        Level of the interval. 0.90 makes two one-sided tests at 5 %, which is usual.
    names : (str, str)
        What to call the two in the verdict.

    Returns
    -------
    Equivalence

    Raises
    ------
    ValueError
        If the numbers of runs differ or are too small for the confidence, or if the confidence, the
        margin or a time is out of range.

    Notes
    -----
    Two one-sided tests (Schuirmann, 1987), each a Wilcoxon signed-rank test, in the form of
    its confidence interval (Hodges and Lehmann, 1963): the estimate is the median of all
    pairwise means of the differences, and the interval's bounds are found by counting inwards
    from both ends of the sorted means. A single run that a busy machine spoiled moves neither
    far. Nothing is assumed about the distribution except that the differences are symmetric.

    Examples
    --------
    >>> same = equivalence([1.0, 1.1, 0.9, 1.2, 1.0, 1.1], [1.1, 1.0, 1.0, 1.1, 1.1, 0.9], 0.5)
    >>> same.verdict
    'a and b are equivalent: less than 0.5 ms apart'
    """
    a, b = np.asarray(a_ms, float), np.asarray(b_ms, float)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"expected as many runs of both, got {a.shape} and {b.shape}")
    if not margin_ms > 0:
        raise ValueError(f"expected margin_ms > 0, got {margin_ms!r}")
    if not 0.5 <= confidence < 1:
        raise ValueError(f"expected a confidence from 0.5 to 1, got {confidence!r}")
    differences = a - b
    if not np.isfinite(differences).all():
        raise ValueError("expected finite times, got a run without samples")
    n = len(differences)
    skip = _skip(n, (1 - confidence) / 2)
    if n < _MIN_RUNS or skip < 0:
        raise ValueError(f"expected more runs: {n} are too few for a confidence of {confidence:g}")
    first, second = np.triu_indices(n)
    means = np.sort((differences[first] + differences[second]) / 2)
    return Equivalence(
        a=names[0],
        b=names[1],
        difference_ms=float(np.median(means)),
        low_ms=float(means[skip]),
        high_ms=float(means[-1 - skip]),
        margin_ms=margin_ms,
        confidence=confidence,
        runs=n,
    )


def _skip(n: int, alpha: float) -> int:
    """Return how many pairwise means to leave out at each end; -1 when n is too small.

    The signed-rank statistic is a sum of a random subset of 1 … n, so its exact
    distribution comes from multiplying out ∏(1 + xⁱ) / 2ⁿ.
    """
    counts = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(len(counts) + rank)
        longer[: len(counts)] += counts
        longer[rank:] += counts
        counts = longer / 2
    below = np.cumsum(counts)
    # The largest w with P(W <= w) <= alpha; the interval starts at the w-th smallest mean (from 0).
    return int(np.searchsorted(below, alpha, side="right")) - 1
