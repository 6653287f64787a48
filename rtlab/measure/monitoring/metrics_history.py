"""What one server showed over the last minutes: rates, growth and percentiles between two looks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from rtlab.errors import LabError
from rtlab.measure.monitoring.metrics_page import MetricsPage

__all__ = ["MetricsHistory"]

_INF: Final = "+Inf"


class MetricsHistory:
    """The newest looks at one server: its pages, and when each was read, or was asked for in vain.

    A counter that falls has begun again, with a new process: what it shows then is what was added.

    Parameters
    ----------
    keep : float
        Seconds of looks that are kept.

    Attributes
    ----------
    up : bool
        Whether the newest look was answered.
    """

    def __init__(self, keep: float = 60.0) -> None:
        self._keep = keep
        self._looks: deque[tuple[float, MetricsPage | None]] = deque()
        self._pages: deque[tuple[float, MetricsPage]] = deque()  # the answered ones of them
        self.up = False

    def __len__(self) -> int:
        """How many looks are kept, those without an answer too."""
        return len(self._looks)

    @property
    def looked_at(self) -> float:
        """When the newest look was, seconds, monotonic; 0 before the first."""
        return self._looks[-1][0] if self._looks else 0.0

    def add(self, at: float, page: MetricsPage | None) -> None:
        """Take a look into account.

        Parameters
        ----------
        at : float
            When, seconds, monotonic.
        page : MetricsPage or None
            None where the server did not answer.
        """
        self.up = page is not None
        self._looks.append((at, page))
        if page is not None:
            self._pages.append((at, page))
        for kept in (self._looks, self._pages):
            while kept and kept[0][0] < at - self._keep:
                kept.popleft()

    def replay(self) -> Iterator[tuple[float, MetricsHistory]]:
        """Show it again as it grew: the time of each look, and the history up to it.

        Yields
        ------
        (float, MetricsHistory)
            Always the same history, one look longer each time: rules can be tried on what was recorded,
            `Alerts.look` as in life. Looks without an answer are among them: silence is a record too.
        """
        again = MetricsHistory(self._keep)
        for at, page in self._looks:
            again.add(at, page)
            yield at, again

    @property
    def newest(self) -> MetricsPage | None:
        """The newest page."""
        return self._pages[-1][1] if self._pages else None

    def value(self, name: str, **labels: str) -> float:
        """Return what the newest page says; NaN before the first."""
        return math.nan if self.newest is None else self.newest.value(name, **labels)

    def increase(self, name: str, over: float, **labels: str) -> float:
        """Return what was added to a counter in the last seconds; NaN before two looks."""
        return math.fsum(self._increases(name, over, labels).values()) if self._span(over) else math.nan

    def rate(self, name: str, over: float, **labels: str) -> float:
        """Return `increase` per second."""
        span = self._span(over)
        return self.increase(name, over, **labels) / span if span else math.nan

    def growth(self, name: str, over: float, **labels: str) -> float:
        """Return by how much a gauge changed per second; NaN before two looks."""
        span = self._span(over)
        if not span:
            return math.nan
        first = self._first(over)[1]
        return (self.value(name, **labels) - first.value(name, **labels)) / span

    def quantile(self, q: float, name: str, over: float) -> float:
        """Return a percentile of a histogram's durations in the last seconds.

        Parameters
        ----------
        q : float
            0.99 for p99.
        name : str
            The histogram's.
        over : float
            Seconds.

        Returns
        -------
        float
            Seconds: between the bounds of the class, in proportion, as Prometheus does; NaN where
            nothing was counted. The highest bound stands for all above it.
        """
        below = before = 0.0
        bound_before = 0.0
        counted = self._classes(name, over)
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
        """Return the share of a histogram's durations that are longer; NaN where nothing was counted.

        Parameters
        ----------
        seconds : float
            The upper bound of a class.
        name : str
            The histogram's.
        over : float
            Seconds.

        Raises
        ------
        LabError
            For any other number of seconds: of what lies between two bounds a histogram knows nothing, and
            the next bound's share may never be anything but 0.
        """
        counted = dict(self._classes(name, over))
        if not counted:
            return math.nan
        if seconds not in counted:
            bounds = ", ".join(f"{bound:g}" for bound in counted if math.isfinite(bound))
            raise LabError(f"expected an upper bound of {name}'s classes, one of {bounds}, got {seconds:g}")
        total = max(counted.values())
        return 1 - counted[seconds] / total if total > 0 else math.nan

    # Between two looks

    def _first(self, over: float) -> tuple[float, MetricsPage]:
        """Return the newest page that is `over` seconds old or older, or else the oldest."""
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

    def _classes(self, name: str, over: float) -> list[tuple[float, float]]:
        """Return (upper bound, durations up to it) of what was added."""
        if not self._span(over):
            return []
        added = self._increases(f"{name}_bucket", over, {})
        by_bound: dict[float, float] = {}
        for key, value in added.items():
            bound = dict(key)["le"]
            number = math.inf if bound == _INF else float(bound)
            by_bound[number] = by_bound.get(number, 0.0) + value
        return sorted(by_bound.items())
