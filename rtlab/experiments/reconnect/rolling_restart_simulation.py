"""Simulates a rolling restart: on which node the clients end up, and how often they move."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Restart", "rolling_restart"]


class Restart(NamedTuple):
    """The result of a rolling restart.

    Parameters
    ----------
    loads : array of float
        Clients on each node, in units of the mean, in the order of the restarts.
    reconnects : float
        Mean number of reconnects per client.
    """

    loads: NDArray[np.float64]
    reconnects: float


def rolling_restart(nodes: int, *, clients: int = 100_000, seed: int = 1) -> Restart:
    """Restart each node once; each of its clients moves to a random other node and stays there.

    Parameters
    ----------
    nodes : int
        Number of nodes, at least 2.
    clients : int
        Number of clients, spread evenly at the start.
    seed : int
        Seed of the random choices.

    Returns
    -------
    Restart

    Examples
    --------
    >>> after = rolling_restart(10)
    >>> abs(float(after.loads[0]) - 1.757) < 0.03, float(after.loads[-1]), round(after.reconnects, 1)
    (True, 0.0, 1.7)
    """
    if nodes < 2:
        raise ValueError(f"expected at least 2 nodes, got {nodes}")
    rng = np.random.default_rng(seed)
    home, moves = np.arange(clients) % nodes, 0
    for node in range(nodes):
        leaving = np.flatnonzero(home == node)
        home[leaving] = (node + rng.integers(1, nodes, len(leaving))) % nodes
        moves += len(leaving)
    return Restart(np.bincount(home, minlength=nodes) * nodes / clients, moves / clients)
