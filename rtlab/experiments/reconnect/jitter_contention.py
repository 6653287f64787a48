"""Brooker's experiment: what jitter does to clients that contend for one row.

N clients each write one row once, under optimistic concurrency control: read the version,
write if it is still the same, else back off and begin again. Each hop of the network takes
|Normal(10, 2)| ms (Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015).

It models contention, not overload: the server is free, so that doing without any backoff
is the fastest of all, at the price of the most calls. Overload is simulated in
`rtlab.experiments.reconnect.herd_simulation`.

At N = 100 the calls that remain, of those without jitter, are 0.43 with full jitter, of which the
article says *more than half* are saved, 0.44 with equal, and 0.54 with decorrelated jitter. Its
published simulator (aws-arch-backoff-simulator) gives the same shares, and the same times.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rtlab.policies.backoff import Backoff, Constant, Decorrelated, EqualJitter, Exponential, FullJitter

if TYPE_CHECKING:
    from rtlab.figures.chart import Chart

__all__ = ["CLIENTS", "POLICIES", "Contention", "brooker", "brooker_figure", "contend"]

_BASE, _CAP = 0.005, 2.0
_HOP_MEAN, _HOP_DEVIATION = 0.010, 0.002

#: The article's five strategies, base 5 ms and cap 2 s.
POLICIES: Final[Mapping[str, Backoff]] = {
    "none": Constant(0.0),
    "exponential": Exponential(_BASE, _CAP),
    "equal_jitter": EqualJitter(_BASE, _CAP),
    "full_jitter": FullJitter(_BASE, _CAP),
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
    hops = _Hops(rng)
    version, calls, finished = 0, 0, 0.0
    retries, previous = [0] * clients, [0.0] * clients
    # What arrives at the server: (when, who, the version that it writes; None: it reads).
    arrivals: list[tuple[float, int, int | None]] = [(hops.next(), who, None) for who in range(clients)]
    heapq.heapify(arrivals)
    while arrivals:
        now, who, expected = arrivals[0]
        if expected is None:
            heapq.heapreplace(arrivals, (now + hops.next() + hops.next(), who, version))
            continue
        calls += 1
        if expected == version:
            version += 1
            heapq.heappop(arrivals)
            finished = max(finished, now + hops.next())
        else:
            retries[who] += 1
            previous[who] = policy.delay(retries[who], previous[who], rng)
            again = now + hops.next() + previous[who] + hops.next()
            heapq.heapreplace(arrivals, (again, who, None))
    return finished, calls


class _Hops:
    """The network's delays, drawn many at a time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._drawn: list[float] = []

    def next(self) -> float:
        if not self._drawn:
            self._drawn = np.abs(self._rng.normal(_HOP_MEAN, _HOP_DEVIATION, 4096)).tolist()
        return self._drawn.pop()


def brooker(
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
    >>> result = {row.policy: row for row in brooker([100], runs=3)}
    >>> result["full_jitter"].calls < result["exponential"].calls / 2
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


def brooker_figure(rows: Sequence[Contention]) -> Chart:
    """Draw the article's two charts: time until all are done, and calls.

    Parameters
    ----------
    rows : sequence of Contention
        From `brooker`.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    from rtlab.figures.chart import Chart, dress
    from rtlab.figures.palette import SERIES_CYCLE

    chart = Chart(
        9, 3.8, about="time until all clients have written, and writes made, over the number of clients"
    )
    for place, (field, label) in enumerate([("seconds", "time until all are done (s)"), ("calls", "writes")]):
        axes: Any = dress(chart.add_subplot(1, 2, place + 1), xlabel="clients", ylabel=label, log_y=True)
        for index, name in enumerate(dict.fromkeys(row.policy for row in rows)):
            mine = [row for row in rows if row.policy == name]
            values = [getattr(row, field) for row in mine]
            axes.plot(
                [row.clients for row in mine], values, color=SERIES_CYCLE[index], label=name, marker="."
            )
        if place == 0:
            chart.legend(
                *axes.get_legend_handles_labels(),
                loc="outside lower center",
                ncols=5,
                frameon=False,
                fontsize=9,
            )
    return chart
