"""Over how many seconds W to spread a herd's reconnects, for a server that accepts μ per second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.policies.backoff import FullJitter

__all__ = ["Spread", "spread_window"]


class Spread(NamedTuple):
    """Result for one window: its length, the longest wait, and the time until all are in, in seconds."""

    window: float
    longest_wait: float
    all_in: float


def spread_window(
    windows: Sequence[float], *, clients: int = 10_000, capacity: float = 1_000.0, seed: int = 1
) -> list[Spread]:
    """Spread the clients' attempts, one each, over a window, and simulate how long they queue.

    Parameters
    ----------
    windows : sequence of float
        Lengths of the window in seconds, W; each client connects at a time drawn from U(0, W).
    clients : int
        Number of clients, N.
    capacity : float
        Connections that the server accepts per second, μ.
    seed : int
        Seed of the runs.

    Returns
    -------
    list of Spread
        One row for each window. A W below N/μ does not get all clients in sooner; above it none queues.

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
