"""What tutorials leave out about reconnecting, each found by computing it.

Nothing here uses a formula: delays are drawn from the policies, servers are simulated, nodes
are restarted. `rtlab.models.reconnect` has the formulas to lay over the results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from rtlab.experiments.reconnect.herd_simulation import Scenario, simulate
from rtlab.policies.backoff import Backoff, FullJitter

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Restart",
    "Spread",
    "attempts_by_uptime_rule",
    "rolling_restart",
    "share_at_cap",
    "spread_window",
    "synchrony",
]

_DRAWS: Final = 100_000


def share_at_cap(policy: Backoff, cap: float, attempts: int, *, seed: int = 1) -> NDArray[np.float64]:
    """Find which share of a herd waits exactly the longest delay, at each attempt.

    Parameters
    ----------
    policy : Backoff
        Whose delays to draw.
    cap : float
        Its longest delay, in seconds.
    attempts : int
        How many to look at.
    seed : int
        Of the draws.

    Returns
    -------
    array of float, shape (attempts,)
        0 where the jitter keeps all clients apart, 1 where it has vanished.

    Examples
    --------
    The jitter of socket.io vanishes, because its delay is capped after the jitter:

    >>> from rtlab.policies.backoff import PRESETS, Decorrelated
    >>> share_at_cap(PRESETS["socketio"], 5.0, 6).round(1).tolist()
    [0.0, 0.0, 0.3, 0.9, 1.0, 1.0]

    Decorrelated jitter keeps an atom at its cap, full jitter has none:

    >>> [round(float(share_at_cap(policy(1, 30), 30.0, 50)[-1]), 2) for policy in (Decorrelated, FullJitter)]
    [0.38, 0.0]
    """
    rng = np.random.default_rng(seed)
    delay, shares = np.zeros(_DRAWS), np.empty(attempts)
    for n in range(attempts):
        delay = policy.delay(np.full(_DRAWS, n), delay, rng)
        shares[n] = np.mean(delay == cap)
    return shares


def synchrony(policy: Backoff, attempts: int, *, width: float = 0.1, seed: int = 1) -> float:
    """Find which share of a herd makes its n-th attempt in the busiest moment.

    Parameters
    ----------
    policy : Backoff
        Whose delays to draw.
    attempts : int
        n; all before it failed at once.
    width : float
        Seconds that count as one moment.
    seed : int
        Of the draws.

    Returns
    -------
    float
        1 for a herd in lockstep.

    Examples
    --------
    >>> from rtlab.policies.backoff import Constant
    >>> synchrony(Constant(1.0), 5)
    1.0
    >>> synchrony(FullJitter(1.0, 5.0), 5) < 0.05
    True
    """
    rng = np.random.default_rng(seed)
    delay, at = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for n in range(attempts):
        delay = policy.delay(np.full(_DRAWS, n), delay, rng)
        at += delay
    at.sort()
    # From each attempt on, how many come within `width`? A hair more, against rounding.
    return float(np.max(np.searchsorted(at, at + width * (1 + 1e-9), "right") - np.arange(_DRAWS)) / _DRAWS)


def attempts_by_uptime_rule(
    policy: FullJitter, *, lifetime: float = 0.1, duration: float = 60.0, seed: int = 1
) -> dict[float, float]:
    """Let a server accept and close at once, and count what a client does to it.

    Parameters
    ----------
    policy : FullJitter
        Tried with `min_uptime` = 0 (the count starts again on open) and as it is.
    lifetime : float
        Seconds that each connection lives.
    duration : float
        Seconds to simulate.
    seed : int
        Of the run.

    Returns
    -------
    dict of float to float
        Attempts per client, by `min_uptime`.

    Examples
    --------
    >>> from rtlab.policies.backoff import PRESETS
    >>> counts = attempts_by_uptime_rule(PRESETS["full_jitter"])
    >>> counts[0.0] > 10 * counts[5.0]
    True
    """
    scenario = Scenario(
        clients=1_000, capacity=1e5, backlog=math.inf, outage=0.0, duration=duration, lifetime=lifetime
    )
    return {
        rule.min_uptime: simulate(rule, scenario, seed=seed).attempts_per_client
        for rule in (replace(policy, min_uptime=0.0), policy)
    }


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


class Restart(NamedTuple):
    """After a rolling restart.

    Parameters
    ----------
    loads : array of float
        Clients on each node, in units of the mean, in the order of the restarts.
    reconnects : float
        Reconnects per client.
    """

    loads: NDArray[np.float64]
    reconnects: float


def rolling_restart(nodes: int, *, clients: int = 100_000, seed: int = 1) -> Restart:
    """Restart each node once; its clients go to one of the others at random, and stay there.

    Parameters
    ----------
    nodes : int
        At least 2.
    clients : int
        Spread evenly at first.
    seed : int
        Of the choices.

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
