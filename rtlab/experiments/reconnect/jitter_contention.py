"""Brooker's experiment: what jitter does to clients that contend for one row.

N clients each write one row once, under optimistic concurrency control: read the version,
write if it is still the same, else back off and begin again. Each one-way trip over the network
takes |Normal(10, 2)| ms (Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015).

It models contention, not overload: the server is free, so that doing without any backoff
is the fastest of all, at the price of the most calls. Overload is simulated in
`rtlab.experiments.reconnect.herd_simulation`.

At N = 100 the calls that remain, of those without jitter, are 0.43 with full jitter, of which the
article says *more than half* are saved, 0.44 with equal, and 0.54 with decorrelated jitter. Its
published simulator (aws-arch-backoff-simulator) gives the same shares, and the same times.
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

#: The article's five strategies, base 5 ms and cap 2 s.
POLICIES: Final[Mapping[str, Backoff]] = {
    "no backoff": Constant(0.0),
    "exponential": Exponential(_BASE, _CAP),
    "equal jitter": EqualJitter(_BASE, _CAP),
    "full jitter": FullJitter(_BASE, _CAP),
    "decorrelated": Decorrelated(_BASE, _CAP),
}

#: From the article's smallest number of clients to its largest.
CLIENTS: Final = tuple(range(10, 200, 20))


class Contention(NamedTuple):
    """The outcome for one strategy and one number of clients, means over the runs.

    Parameters
    ----------
    policy : str
        Its name.
    clients : int
        N.
    seconds : float
        Until the last client is done.
    calls : float
        Writes that the server saw, N of which succeeded.
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
        Asked for attempt 1, 2, …: as in the article, the first retry already uses 2¹.
    clients : int
        N.
    rng : numpy.random.Generator
        For the network and for the jitter.

    Returns
    -------
    seconds : float
        When the last client heard that its write succeeded.
    calls : int
        Writes.
    """
    network = _NetworkDelays(rng)
    version, calls, finished = 0, 0, 0.0
    retries, previous = [0] * clients, [0.0] * clients
    # What arrives at the server: (when, who, the version that it writes; None: it reads).
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
    """The network's delays, drawn many at a time."""

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
        Values of N.
    policies : mapping of str to Backoff
        What to compare.
    runs : int
        Runs whose mean is reported (the article: 100).
    seed : int
        The same seed gives the same result.

    Returns
    -------
    list of Contention
        One for each policy and N; ``pandas.DataFrame(result)`` makes a table of it.

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
