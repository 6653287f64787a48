"""Keys spread over nodes by a hash: how many move when a node joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["modulo_moved_share", "moved_share", "moved_share_deviation"]


def moved_share(nodes: ArrayLike) -> NDArray[np.float64]:
    """Return the share of keys that a node takes which joins n others: 1/(n + 1).

    Nothing moves between the others (Karger et al., 1997; rendezvous hashing: Thaler and
    Ravishankar, 1998). No scheme that spreads evenly can move less.

    Parameters
    ----------
    nodes : int or array
        n, before it joins.

    Examples
    --------
    >>> float(moved_share(3))
    0.25
    """
    return 1 / (np.asarray(nodes, float) + 1)


def modulo_moved_share(nodes: ArrayLike) -> NDArray[np.float64]:
    """Return the share of keys that moves under ``hash % n``, n + 1 in n's place: n/(n + 1).

    A key stays when both remainders are equal, which is so for n of n(n + 1) values.

    Parameters
    ----------
    nodes : int or array
        n, before it joins.

    Examples
    --------
    >>> float(modulo_moved_share(3))
    0.75
    """
    return 1 - moved_share(nodes)


def moved_share_deviation(
    nodes: ArrayLike, keys: ArrayLike, points: ArrayLike = np.inf
) -> NDArray[np.float64]:
    """Return the standard deviation of a measured `moved_share`: of the ring, and of the sample.

    A node with v of all M = (n + 1)·v random points on a ring has a share that is Beta(v, M − v):
    mean p = 1/(n + 1), variance p(1 − p)/(M + 1). Of K random keys, a binomial number falls into it.
    Both together (the law of total variance): p(1 − p)·(1/K + (1 − 1/K)/(M + 1)).

    Parameters
    ----------
    nodes : int or array
        n, before one joins.
    keys : int or array
        K.
    points : int or array
        Of each node on the ring; infinite where there is no ring (rendezvous hashing).

    Examples
    --------
    HAProxy puts 16 points for each unit of weight: with its default of 1, the ring itself is rough.

    >>> [round(100 * float(moved_share_deviation(3, 10_000, points)), 1) for points in (16, 1600)]
    [5.4, 0.7]
    """
    p, k = moved_share(nodes), np.asarray(keys, float)
    ring = 1 / ((np.asarray(nodes, float) + 1) * np.asarray(points, float) + 1)
    return np.sqrt(p * (1 - p) * (1 / k + (1 - 1 / k) * ring))
