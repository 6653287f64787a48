"""The benchmarks' harness: one result type, the registry, the printed table.

A benchmark called ``NAME`` is the coroutine function ``run(start_lab)`` of the
module ``rtlab/measure/bench_NAME.py``. The file is all the registration there
is, and it is imported only when its benchmark runs.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["BENCHES", "Benchmark", "LabLike", "Result", "StartLab", "spread", "table"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number, beside the rival it is compared with.

    Parameters
    ----------
    bench, metric : str
        What was measured; the metric's name carries no unit.
    value : float
        The median of the repeats.
    unit : str
        ``"s"``, ``"µs"``, ``"msg/s"``, ``"%"`` …
    peer : str
        The rival, or ``"limit"``; empty when there is none.
    peer_value : float or None
        The rival's median: same unit, same run.
    ratio : float or None
        `value` / `peer_value`.
    spread : float or None
        Interquartile range of the repeats over their median.
    """

    bench: str
    metric: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    spread: float | None = None

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
            The rival's repeats; a limit is a single number.

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


class LabLike(Protocol):
    """What a benchmark needs of a running lab."""

    @property
    def url(self) -> str: ...
    @property
    def ws_url(self) -> str: ...
    @property
    def token(self) -> str: ...
    async def stop(self) -> None: ...


class StartLab(Protocol):
    """Starts a lab; takes the options of ``rtlab.Lab``."""

    def __call__(self, **options: Any) -> Awaitable[LabLike]: ...


Benchmark = Callable[[StartLab], Awaitable[list[Result]]]


def _lazy(module: str) -> Benchmark:
    async def run(start_lab: StartLab) -> list[Result]:
        return await importlib.import_module(module).run(start_lab)

    return run


def _modules() -> Iterable[str]:
    path = importlib.import_module("rtlab.bench.suites").__path__
    return sorted(found.name for found in pkgutil.iter_modules(path))


#: Every benchmark by name, ready to be called.
BENCHES: Final[dict[str, Benchmark]] = {
    # ``import`` is a keyword, so its module has a longer name.
    module.removesuffix("_time"): _lazy(f"rtlab.bench.suites.{module}")
    for module in _modules()
}


def spread(values: Sequence[float]) -> float | None:
    """Return the interquartile range over the median.

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
    from rich.table import Table

    made = Table(title="medians; spread = interquartile range / median")
    for heading in ("bench", "metric", "value", "spread", "peer", "peer value", "ratio"):
        right = heading in ("value", "spread", "peer value", "ratio")
        made.add_column(heading, justify="right" if right else "left")
    for row in results:
        made.add_row(
            row.bench,
            row.metric,
            f"{row.value:,.4g} {row.unit}",
            "" if row.spread is None else f"{row.spread:.0%}",
            row.peer,
            "" if row.peer_value is None else f"{row.peer_value:,.4g} {row.unit}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
        )
    return made
