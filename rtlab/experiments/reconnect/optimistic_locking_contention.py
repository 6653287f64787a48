"""Brooker's experiment: the effect of jitter on clients that contend for one database row.

N clients write the same row once each, under optimistic concurrency control: a client reads the version,
and writes if it is still the same; otherwise it backs off and starts again. Each one-way trip over the
network takes |Normal(10, 2)| ms (Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015).

The experiment models contention, not overload: the server takes no time, so clients without any backoff
finish first, at the price of the most calls. Overload is simulated in
`rtlab.experiments.reconnect.herd_simulation`.

At N = 100, full jitter makes 0.43 of the calls of exponential backoff without jitter (the article says
that it saves *more than half*), equal jitter 0.44, and decorrelated jitter 0.54. The article's published
simulator (aws-arch-backoff-simulator) gives the same shares and the same times.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from rtlab.policies.backoff import Backoff, Constant, Decorrelated, EqualJitter, Exponential, FullJitter

__all__ = ["CLIENTS", "POLICIES", "Contention", "contend", "jitter_contention"]

_BASE, _CAP = 0.005, 2.0
_DELAY_MEAN, _DELAY_DEVIATION = 0.010, 0.002

#: The article's five strategies, with base 5 ms and cap 2 s.
POLICIES: Final[Mapping[str, Backoff]] = {
    "no backoff": Constant(0.0),
    "exponential": Exponential(_BASE, _CAP),
    "equal jitter": EqualJitter(_BASE, _CAP),
    "full jitter": FullJitter(_BASE, _CAP),
    "decorrelated": Decorrelated(_BASE, _CAP),
}

#: Numbers of clients: every other one of the 19 in the article's simulator (10, 20, … 190).
CLIENTS: Final = tuple(range(10, 200, 20))


class Contention(NamedTuple):
    """The outcome for one strategy and one number of clients, as means over the runs.

    Parameters
    ----------
    policy : str
        Name of the strategy.
    clients : int
        Number of clients, N.
    seconds : float
        Seconds until the last client has succeeded.
    calls : float
        Writes that the server received, N of which succeeded.
    """

    policy: str
    clients: int
    seconds: float
    calls: float


def contend(policy: Backoff, clients: int, rng: np.random.Generator) -> tuple[float, int]:
    """Run the experiment once.

    Parameters
    ----------
    policy : Backoff
        The policy. Its delays are taken for attempts 1, 2, …: as in the article, the first retry uses 2¹.
    clients : int
        Number of clients, N.
    rng : numpy.random.Generator
        Generator for the network delays and the jitter.

    Returns
    -------
    seconds : float
        When the last client learned that its write had succeeded.
    calls : int
        Writes that the server received.
    """
    network = _NetworkDelays(rng)
    version, calls, finished = 0, 0, 0.0
    retries, previous = [0] * clients, [0.0] * clients
    # Arrivals at the server: (time, client, version that its write expects, or None for a read).
    arrivals: list[tuple[float, int, int | None]] = [(network.next(), who, None) for who in range(clients)]
    heapq.heapify(arrivals)
    while arrivals:
        now, who, expected = arrivals[0]
        if expected is None:
            heapq.heapreplace(arrivals, (now + network.next() + network.next(), who, version))
            continue
        calls += 1
        if expected == version:
            version += 1
            heapq.heappop(arrivals)
            finished = max(finished, now + network.next())
        else:
            retries[who] += 1
            previous[who] = policy.delay(retries[who], previous[who], rng)
            again = now + network.next() + previous[who] + network.next()
            heapq.heapreplace(arrivals, (again, who, None))
    return finished, calls


class _NetworkDelays:
    """Random network delays, drawn in large batches."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._drawn: list[float] = []

    def next(self) -> float:
        if not self._drawn:
            self._drawn = np.abs(self._rng.normal(_DELAY_MEAN, _DELAY_DEVIATION, 4096)).tolist()
        return self._drawn.pop()


def jitter_contention(
    clients: Sequence[int] = CLIENTS,
    *,
    policies: Mapping[str, Backoff] = POLICIES,
    runs: int = 10,
    seed: int = 1,
) -> list[Contention]:
    """Run the experiment for each strategy and number of clients.

    Parameters
    ----------
    clients : sequence of int
        Numbers of clients to simulate.
    policies : mapping of str to Backoff
        Name → policy to compare.
    runs : int
        Number of runs to average (100 in the article's simulator).
    seed : int
        Seed; the same seed gives the same result.

    Returns
    -------
    list of Contention
        One row for each policy and N; ``pandas.DataFrame(result)`` makes a table of them.

    Examples
    --------
    >>> result = {row.policy: row for row in jitter_contention([100], runs=3)}
    >>> result["full jitter"].calls < result["exponential"].calls / 2
    True
    """
    rows: list[Contention] = []
    for name, policy in policies.items():
        for count in clients:
            outcomes = [
                contend(policy, count, np.random.default_rng([seed, count, run])) for run in range(runs)
            ]
            seconds, calls = np.mean(outcomes, axis=0)
            rows.append(Contention(name, count, float(seconds), float(calls)))
    return rows
