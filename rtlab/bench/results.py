"""A benchmark's result: one number beside its peer's, and the table that the terminal shows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from rtlab.measure.statistics.equivalence import equivalence

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["LEAST_BUSY", "MIN_PAIRS", "Result", "spread", "table"]

#: With fewer pairs no interval is computed.
MIN_PAIRS: Final = 9

#: A bound of the ratio nearer to 1 than this is judged by the interval, not by the ratio alone.
NARROW: Final = 0.1

#: Least share of a core that the measured process must use for its rate or cost to count. A process that
#: is idle for longer waits for something else, and that would be measured.
LEAST_BUSY: Final = 0.9


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number, beside the peer it is compared with.

    Parameters
    ----------
    bench, metric : str
        Name of the benchmark, and of the measured quantity without its unit.
    value : float
        The median of the repeats.
    unit : str
        ``"s"``, ``"µs"``, ``"msg/s"``, ``"%"`` …
    peer : str
        What the value is compared with, or ``"limit"``; empty when there is no comparison.
    peer_value : float or None
        The peer's median, in the same unit and from the same run.
    ratio : float or None
        `value` / `peer_value`.
    spread : float or None
        Interquartile range of the repeats over their median.
    interval : (float, float) or None
        The 95 % confidence interval over pairs: of `ratio` for `paired`, of `value` for `added`.
    busy : float or None
        Share of a core that the measured process used; below `LEAST_BUSY` the result does not count.
    at_most, at_least : float or None
        Bounds of the ratio, or of the value if there is no ratio; stated before the run.
    """

    bench: str
    metric: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    spread: float | None = None
    interval: tuple[float, float] | None = None
    busy: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def counts(self) -> bool:
        """Whether the measured process was busy enough for the result to count."""
        return self.busy is None or self.busy >= LEAST_BUSY

    @property
    def holds(self) -> bool | None:
        """Whether the result is within its bounds; None if it has no bounds, or does not count.

        If a bound of the ratio is less than 10 % from 1, the interval decides: it must reach into the
        allowed range, and be no wider than the distance of that bound from 1. A wider one proves nothing.

        Examples
        --------
        >>> Result.of("b", "m", [2.0], "s", "peer", [1.0]).holds is None
        True
        """
        if (self.at_most is None and self.at_least is None) or not self.counts:
            return None
        # Rounded: 0.9 and 1.1 are no floats, and their distances from 1 come out below and above 0.1.
        bounds = (self.at_most, self.at_least)
        narrow = [bound for bound in bounds if bound and 0 < round(abs(bound - 1), 9) < NARROW]
        if narrow and self.peer_value and self.ratio is not None and self.interval is not None:
            low, high = self.interval
            return (
                high - low <= min(abs(bound - 1) for bound in narrow)
                and (self.at_most is None or low <= self.at_most)
                and (self.at_least is None or high >= self.at_least)
            )
        number = self.value if self.ratio is None else self.ratio
        return (self.at_most is None or number <= self.at_most) and (
            self.at_least is None or number >= self.at_least
        )

    @classmethod
    def of(
        cls,
        bench: str,
        metric: str,
        values: Sequence[float],
        unit: str,
        peer: str = "",
        peer_values: Sequence[float] = (),
    ) -> Result:
        """Make a result from the repeats of both sides.

        Parameters
        ----------
        bench, metric, unit, peer : str
            As in `Result`.
        values : sequence of float
            One number per repeat.
        peer_values : sequence of float
            The peer's repeats; for a limit a single number.

        Returns
        -------
        Result
            The medians, their ratio, and the spread of `values`.

        Examples
        --------
        >>> Result.of("client", "round trip", [1.0, 2.0, 3.0], "µs", "websockets", [2.0]).ratio
        1.0
        """
        value = statistics.median(values)
        peer_value = statistics.median(peer_values) if peer_values else None
        return cls(
            bench=bench,
            metric=metric,
            value=value,
            unit=unit,
            peer=peer,
            peer_value=peer_value,
            ratio=value / peer_value if peer_value else None,
            spread=spread(values),
        )

    @classmethod
    def paired(
        cls,
        bench: str,
        metric: str,
        values: Sequence[float],
        unit: str,
        peer: str,
        peer_values: Sequence[float],
    ) -> Result:
        """Make a result whose ratio is estimated from interleaved pairs, with its 95 % interval.

        Parameters
        ----------
        bench, metric, unit, peer : str
            As in `Result`.
        values, peer_values : sequence of float
            Pair i of both was measured in one turn. A bound less than 10 % from 1 needs 9 pairs or more.

        Returns
        -------
        Result
            The ratio is the Hodges–Lehmann estimate on the logarithms; with fewer than
            `MIN_PAIRS` pairs it is the ratio of the medians, without an interval.

        Examples
        --------
        >>> Result.paired("b", "m", [1.1] * 9, "s", "bare", [1.0] * 9).interval
        (1.1, 1.1)
        """
        row = cls.of(bench, metric, values, unit, peer, peer_values)
        if len(values) < MIN_PAIRS:
            return row
        found = equivalence(
            [math.log(x) for x in values], [math.log(x) for x in peer_values], 1.0, confidence=0.95
        )
        ratio, low, high = (round(math.exp(x), 4) for x in (found.difference_ms, found.low_ms, found.high_ms))
        return msgspec.structs.replace(row, ratio=ratio, interval=(low, high))

    @classmethod
    def added(
        cls,
        bench: str,
        metric: str,
        with_it: Sequence[float],
        without: Sequence[float],
        unit: str,
        limit: float,
    ) -> Result:
        """Make a result of the cost that something adds, from interleaved pairs, with its 95 % interval.

        Parameters
        ----------
        bench, metric, unit : str
            As in `Result`.
        with_it, without : sequence of float
            Pair i of both was measured in one turn.
        limit : float
            The largest difference that is allowed.

        Returns
        -------
        Result
            Its value is the Hodges–Lehmann estimate of the difference; with fewer than `MIN_PAIRS`
            pairs it is the median, without an interval.

        Examples
        --------
        >>> Result.added("b", "m", [1.5] * 9, [1.0] * 9, "ms", 1.0).value
        0.5
        """
        differences = [a - b for a, b in zip(with_it, without, strict=True)]
        row = cls.of(bench, metric, differences, unit, "limit", [limit])
        if len(differences) < MIN_PAIRS:
            return row
        found = equivalence(with_it, without, 1.0, confidence=0.95)
        interval = round(found.low_ms, 4), round(found.high_ms, 4)
        value = found.difference_ms
        return msgspec.structs.replace(row, value=value, ratio=value / limit, interval=interval)


def spread(values: Sequence[float]) -> float | None:
    """Return the interquartile range divided by the median.

    Parameters
    ----------
    values : sequence of float
        The repeats.

    Returns
    -------
    float or None
        None for fewer than two values, or a median of zero.

    Examples
    --------
    >>> spread([9.0, 10.0, 11.0])
    0.1
    """
    median = statistics.median(values)
    if len(values) < 2 or median == 0:
        return None
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / abs(median)


def table(results: Iterable[Result]) -> Table:
    """Return the results as a table for the terminal.

    Parameters
    ----------
    results : iterable of Result
        In the order to print.

    Returns
    -------
    rich.table.Table
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = list(results)
    benches = ", ".join(dict.fromkeys(row.bench for row in rows))
    made = Table(
        title=f"{benches}: medians, ± interquartile range / median, [95 % interval]",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    judged = any(_must(row) for row in rows)
    for heading in ("metric", "value", "peer", "ratio") + (("must",) if judged else ()):
        made.add_column(
            heading,
            justify="right" if heading == "value" else "left",
            min_width={"metric": 20, "peer": 10}.get(heading),
            no_wrap=heading in ("value", "ratio", "must"),
        )
    for row in rows:
        made.add_row(
            "\n".join(filter(None, (row.metric, _busy(row)))),
            _amount(row.value, row.unit) + ("" if row.spread is None else f"\n± {row.spread:.0%}"),
            row.peer + ("" if row.peer_value is None else "\n" + _amount(row.peer_value, row.unit)),
            "\n".join(filter(None, (_ratio(row), _interval(row)))),
            *((_must(row),) if judged else ()),
        )
    return made


def _amount(number: float, unit: str) -> str:
    return f"{number:,.0f} {unit}" if abs(number) >= 1000 else f"{number:.4g} {unit}"


def _ratio(row: Result) -> str:
    return "" if row.ratio is None else f"{row.ratio:.3g}"


def _interval(row: Result) -> str:
    return "" if row.interval is None else f"[{row.interval[0]:.3g}, {row.interval[1]:.3g}]"


def _must(row: Result) -> str:
    parts = [
        f"{sign} {limit:g}" for sign, limit in (("≤", row.at_most), ("≥", row.at_least)) if limit is not None
    ]
    mark = {True: " ✓", False: " ✗", None: ""}[row.holds]
    return ", ".join(parts) + mark


def _busy(row: Result) -> str:
    if row.busy is None:
        return ""
    return f"busy {row.busy:.0%}" + ("" if row.counts else ": does not count")
