"""How wide to spread a herd: a one-time window of W seconds against a server of capacity μ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.policies.backoff import FullJitter

__all__ = ["Spread", "spread_window"]


class Spread(NamedTuple):
    """What a one-time spread of W seconds does: `window`, `longest_wait` and `all_in`, in seconds."""

    window: float
    longest_wait: float
    all_in: float


def spread_window(
    windows: Sequence[float], *, clients: int = 10_000, capacity: float = 1_000.0, seed: int = 1
) -> list[Spread]:
    """Spread the one attempt of each client over a window, and see how long they queue.

    Parameters
    ----------
    windows : sequence of float
        Seconds, W; each client comes at U(0, W).
    clients : int
        N.
    capacity : float
        Accepted per second, μ.
    seed : int
        Of the runs.

    Returns
    -------
    list of Spread
        One for each window: nobody gains by W < N/μ, and beyond nobody queues.

    Examples
    --------
    >>> short, enough = spread_window([1.0, 12.0])
    >>> round(short.longest_wait), round(short.all_in), enough.longest_wait < 0.2
    (9, 10, True)
    """
    rows: list[Spread] = []
    for window in windows:
        scenario = Scenario(
            clients=clients,
            capacity=capacity,
            backlog=math.inf,
            outage=0.0,
            connect_timeout=math.inf,
            duration=2 * (window + clients / capacity),
        )
        run = simulate(FullJitter(window, window), scenario, seed=seed)
        rows.append(Spread(window, run.longest_wait, run.all_in if run.all_in is not None else math.inf))
    return rows
