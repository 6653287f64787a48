"""One server's metrics of the last minute: rates, growth and percentiles between two scrapes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from rtlab.errors import LabError
from rtlab.measure.monitoring.prometheus_text_parser import MetricsPage

__all__ = ["MetricsHistory"]

_INF: Final = "+Inf"


class MetricsHistory:
    """The newest scrapes of one server: each page and its time, or the time of a failed attempt.

    A counter that falls was reset by a restart of its process: its new value is the whole increase.

    Parameters
    ----------
    keep : float
        Seconds for which scrapes are kept.

    Attributes
    ----------
    up : bool
        Whether the server answered the newest scrape.
    """

    def __init__(self, keep: float = 60.0) -> None:
        self._keep = keep
        self._looks: deque[tuple[float, MetricsPage | None]] = deque()
        self._pages: deque[tuple[float, MetricsPage]] = deque()  # only the scrapes that were answered
        self.up = False

    def __len__(self) -> int:
        """Return how many scrapes are kept, including those without an answer."""
        return len(self._looks)

    @property
    def looked_at(self) -> float:
        """Monotonic seconds of the newest scrape; 0 before the first."""
        return self._looks[-1][0] if self._looks else 0.0

    def add(self, at: float, page: MetricsPage | None) -> None:
        """Append a scrape, and forget those that are older than `keep`.

        Parameters
        ----------
        at : float
            Monotonic seconds of the scrape.
        page : MetricsPage or None
            None if the server did not answer.
        """
        self.up = page is not None
        self._looks.append((at, page))
        if page is not None:
            self._pages.append((at, page))
        for kept in (self._looks, self._pages):
            while kept and kept[0][0] < at - self._keep:
                kept.popleft()

    def replay(self) -> Iterator[tuple[float, MetricsHistory]]:
        """Replay the scrapes: yield the time of each, and the history up to it.

        Yields
        ------
        (float, MetricsHistory)
            Always the same object, one scrape longer each time, so that `Alerts.look` can evaluate
            rules on a recorded run. Scrapes without an answer are included.
        """
        again = MetricsHistory(self._keep)
        for at, page in self._looks:
            again.add(at, page)
            yield at, again

    @property
    def newest(self) -> MetricsPage | None:
        """The newest page; None before the first."""
        return self._pages[-1][1] if self._pages else None

    def value(self, name: str, **labels: str) -> float:
        """Return a metric's value on the newest page; NaN before the first page."""
        return math.nan if self.newest is None else self.newest.value(name, **labels)

    def increase(self, name: str, over: float, **labels: str) -> float:
        """Return by how much a counter grew in the last `over` seconds; NaN before two pages."""
        return math.fsum(self._increases(name, over, labels).values()) if self._span(over) else math.nan

    def rate(self, name: str, over: float, **labels: str) -> float:
        """Return `increase` per second."""
        span = self._span(over)
        return self.increase(name, over, **labels) / span if span else math.nan

    def growth(self, name: str, over: float, **labels: str) -> float:
        """Return by how much a gauge changed per second over `over` seconds; NaN before two pages."""
        span = self._span(over)
        if not span:
            return math.nan
        first = self._first(over)[1]
        return (self.value(name, **labels) - first.value(name, **labels)) / span

    def quantile(self, q: float, name: str, over: float) -> float:
        """Return a quantile of a histogram's durations in the last `over` seconds.

        Parameters
        ----------
        q : float
            The quantile, from 0 to 1: 0.99 for p99.
        name : str
            Name of the histogram.
        over : float
            How many seconds to look back.

        Returns
        -------
        float
            Seconds, interpolated linearly within the bucket, as Prometheus does; NaN if nothing was
            counted. For a quantile above the highest finite bound, that bound.
        """
        below = before = 0.0
        bound_before = 0.0
        counted = self._buckets(name, over)
        total = counted[-1][1] if counted else 0.0
        if not total > 0:
            return math.nan
        for bound, below in counted:
            if below >= q * total:
                if math.isinf(bound):
                    return bound_before
                return bound_before + (bound - bound_before) * (q * total - before) / (below - before or 1)
            bound_before, before = bound, below
        return bound_before

    def share_above(self, seconds: float, name: str, over: float) -> float:
        """Return the share of a histogram's durations above `seconds`; NaN if nothing was counted.

        Parameters
        ----------
        seconds : float
            The limit; it must be the upper bound of a bucket.
        name : str
            Name of the histogram.
        over : float
            How many seconds to look back.

        Raises
        ------
        LabError
            If `seconds` is no bucket's upper bound: a histogram does not say how durations are spread
            within a bucket, and above the next bound there may never be any.
        """
        counted = dict(self._buckets(name, over))
        if not counted:
            return math.nan
        if seconds not in counted:
            bounds = ", ".join(f"{bound:g}" for bound in counted if math.isfinite(bound))
            raise LabError(f"expected an upper bound of {name}'s buckets, one of {bounds}, got {seconds:g}")
        total = max(counted.values())
        return 1 - counted[seconds] / total if total > 0 else math.nan

    # Between two scrapes

    def _first(self, over: float) -> tuple[float, MetricsPage]:
        """Return the newest page at least `over` seconds older than the last one, or else the oldest."""
        until = self._pages[-1][0] - over
        found = self._pages[0]
        for entry in self._pages:
            if entry[0] > until:
                break
            found = entry
        return found

    def _span(self, over: float) -> float:
        return self._pages[-1][0] - self._first(over)[0] if len(self._pages) > 1 else 0.0

    def _increases(
        self, name: str, over: float, labels: Mapping[str, str]
    ) -> dict[frozenset[tuple[str, str]], float]:
        at = self._first(over)[0]
        pages = [page for then, page in self._pages if then >= at]
        total: dict[frozenset[tuple[str, str]], float] = {}
        before = pages[0].series(name, **labels)
        for page in pages[1:]:
            now = page.series(name, **labels)
            for key, value in now.items():
                then = before.get(key, 0.0)
                total[key] = total.get(key, 0.0) + (value - then if value >= then else value)
            before = now
        return total

    def _buckets(self, name: str, over: float) -> list[tuple[float, float]]:
        """Return (upper bound, number of durations up to it), of those counted in the last seconds."""
        if not self._span(over):
            return []
        added = self._increases(f"{name}_bucket", over, {})
        by_bound: dict[float, float] = {}
        for key, value in added.items():
            bound = dict(key)["le"]
            number = math.inf if bound == _INF else float(bound)
            by_bound[number] = by_bound.get(number, 0.0) + value
        return sorted(by_bound.items())
