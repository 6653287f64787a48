"""Share of keys that move when a node joins, in closed form: consistent hashing, and hash modulo nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["modulo_moved_share", "moved_share", "moved_share_deviation"]


def moved_share(nodes: ArrayLike) -> NDArray[np.float64]:
    """Return the share of keys that move to a node that joins n others under consistent hashing: 1/(n + 1).

    No key moves between the n existing nodes (consistent hashing: Karger et al., 1997; rendezvous
    hashing: Thaler and Ravishankar, 1998). No scheme that spreads keys evenly can move fewer.

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
    """Return the share of keys that move when ``hash % n`` becomes ``hash % (n + 1)``: n/(n + 1).

    A key stays when both remainders are equal, which holds for n of every n(n + 1) hash values.

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
    """Return the standard deviation of a measured `moved_share`, from the random ring and the random keys.

    A node with v of the M = (n + 1)·v random points on a ring owns a share distributed as Beta(v, M − v),
    with mean p = 1/(n + 1) and variance p(1 − p)/(M + 1). The number of K random keys in that share is
    binomial. By the law of total variance, the variance is p(1 − p)·(1/K + (1 − 1/K)/(M + 1)).

    Parameters
    ----------
    nodes : int or array
        Number of nodes before one joins, n.
    keys : int or array
        Number of keys in the sample, K.
    points : int or array
        Points of each node on the ring, v; infinite where there is no ring (rendezvous hashing).

    Examples
    --------
    HAProxy places 16 points per unit of weight. With its default weight of 1 the ring is uneven:

    >>> [round(100 * float(moved_share_deviation(3, 10_000, points)), 1) for points in (16, 1600)]
    [5.4, 0.7]
    """
    p, k = moved_share(nodes), np.asarray(keys, float)
    ring = 1 / ((np.asarray(nodes, float) + 1) * np.asarray(points, float) + 1)
    return np.sqrt(p * (1 - p) * (1 / k + (1 - 1 / k) * ring))
