"""Figures of batching: closed forms beside measurements, a loaded server, and an adaptive window."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.ticker import NullLocator

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress
from rtlab.figures.chart_style.palette import PALETTE, SERIES_CYCLE
from rtlab.models.batching import batch_delay, batch_size, loaded_delay

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["adaptive_figure", "loaded_figure", "sweep_figure"]

#: Seconds over which `adaptive_figure` averages messages.
_BIN = 1.0


class _Point(Protocol):
    """Measured means at one rate (per second), wait (seconds) and batch limit; delay in seconds."""

    @property
    def rate(self) -> float: ...
    @property
    def wait(self) -> float: ...
    @property
    def limit(self) -> int: ...
    @property
    def per_frame(self) -> float: ...
    @property
    def delay(self) -> float: ...


class _Played(Protocol):
    @property
    def added(self) -> NDArray[np.float64]: ...
    @property
    def sizes(self) -> NDArray[np.int64]: ...
    @property
    def waits(self) -> NDArray[np.float64]: ...
    @property
    def left(self) -> NDArray[np.float64]: ...


def sweep_figure(points: Sequence[_Point], *, title: str = "") -> Chart:
    """Draw messages per frame and mean added delay over the rate: closed forms as lines, measured marks.

    Parameters
    ----------
    points : sequence
        Measurements with ``rate``, ``wait``, ``limit``, ``per_frame`` and ``delay``, such as `SweepPoint`.
    title : str
        Start of the alternative text.

    Returns
    -------
    Chart
    """
    chart = Chart(9.4, 3.8, about=f"{title}: closed forms and {len(points)} measurements")
    panels: Any = chart.subplots(1, 2)
    dress(panels[0], title="Messages per frame", xlabel="messages a second, λ", log_y=True)
    dress(panels[1], title="Mean added delay", xlabel="messages a second, λ", ylabel="ms")
    rates = [point.rate for point in points]
    over = np.geomspace(min(rates) / 3, max(rates) * 3, 120)
    windows = list(dict.fromkeys((point.wait, point.limit) for point in points))
    for color, mark, (wait, limit) in zip(SERIES_CYCLE, "osD^vPX", windows, strict=False):
        here = [point for point in points if (point.wait, point.limit) == (wait, limit)]
        name = f"T {1000 * wait:g} ms, B {limit}"
        size = [batch_size(rate, wait, limit) for rate in over]
        delay = [1000 * batch_delay(rate, wait, limit) for rate in over]
        seen = {"marker": mark, "linestyle": "none", "color": color, "markeredgecolor": INK}
        panels[0].plot(over, size, color=color)
        panels[0].plot([p.rate for p in here], [p.per_frame for p in here], **seen)
        panels[1].plot(over, delay, color=color)
        panels[1].plot([p.rate for p in here], [1000 * p.delay for p in here], label=name, **seen)
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xticks(sorted(set(rates)), [f"{rate:g}" for rate in sorted(set(rates))])
        axes.xaxis.set_minor_locator(NullLocator())
    panels[1].set_ylim(0)
    chart.legend(
        loc="outside lower center",
        ncols=4,
        fontsize=8.5,
        frameon=False,
        labelcolor=INK,
        title="lines: closed form; marks: measured",
    ).get_title().set(color=INK, fontsize=8.5)
    return chart


def loaded_figure(
    rates: Sequence[float],
    played: Mapping[float, Mapping[float, float]],
    *,
    per_frame: float,
    per_message: float,
    title: str = "",
) -> Chart:
    """Draw the total delay over the wait T, for a server at several loads: model's lines, simulated dots.

    The ring at 0 is the model without batching.

    Parameters
    ----------
    rates : sequence of float
        Message rates λ per second; one curve for each.
    played : mapping
        λ → T in seconds → mean delay in seconds, from a simulation.
    per_frame, per_message : float
        Seconds that the server needs for each frame, and for each message in it.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(8.6, 3.8, about=f"{title}: the whole delay over the wait T at {len(rates)} loads")
    axes = dress(
        chart.add_subplot(),
        title=title,
        xlabel="wait T (ms); 0: no batching",
        ylabel="mean delay (ms)",
        log_y=True,
    )
    waits = np.geomspace(0.0002, 0.05, 80)
    costs = {"per_frame": per_frame, "per_message": per_message}
    for color, rate in zip(SERIES_CYCLE, rates, strict=False):
        load = rate * (per_frame + per_message)
        curve = np.array([1000 * loaded_delay(rate, wait, **costs) for wait in waits])
        name = f"{rate:g}/s: {100 * load:.0f} % of the server without batching"
        axes.plot(1000 * waits, curve, color=color, label=name)
        alone = 1000 * loaded_delay(rate, 0, **costs)
        if np.isfinite(alone):
            axes.plot(0, alone, "o", markersize=9, markerfacecolor="none", color=color)
        seen = played.get(rate, {})
        axes.plot([1000 * t for t in seen], [1000 * d for d in seen.values()], "o", color=color)
    axes.set_xscale("symlog", linthresh=0.5)
    axes.set_xticks([0, 0.5, 1, 5, 10, 50], ["0", "0.5", "1", "5", "10", "50"])
    axes.xaxis.set_minor_locator(NullLocator())
    chart.legend(loc="outside lower center", ncols=2, fontsize=8.5, frameon=False, labelcolor=INK)
    return chart


def adaptive_figure(
    times: NDArray[np.float64], played: Mapping[str, _Played], *, target: float, title: str = ""
) -> Chart:
    """Draw the delay that batching windows add, second by second, while the rate changes.

    Parameters
    ----------
    times : array
        Arrival times of messages at the batcher, in seconds.
    played : mapping
        Name of the window → result of `play_window` for these times.
    target : float
        The added delay, in seconds, that an adaptive window aims at.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9.0, 4.2, about=f"{title}: rate, and added delay of {', '.join(played)}")
    panels: Any = chart.subplots(2, 1, sharex=True, height_ratios=[1, 2.2])
    dress(panels[0], title=title, ylabel="messages/s", log_y=True)
    dress(panels[1], xlabel="time (s)", ylabel="added delay (ms)")
    edges = np.arange(0, times[-1] + _BIN, _BIN)
    middle = edges[:-1] + _BIN / 2
    count = np.histogram(times, edges)[0]
    panels[0].step(middle, np.maximum(count, 0.5) / _BIN, where="mid", color=PALETTE["grey"])
    for color, (name, seen) in zip(SERIES_CYCLE, played.items(), strict=False):
        total = np.histogram(times, edges, weights=1000 * seen.added)[0]
        mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        panels[1].plot(middle, mean, color=color, label=name)
    panels[1].axhline(1000 * target, color=PALETTE["grey"], linewidth=0.9, linestyle=":", label="target")
    panels[1].set_ylim(0)
    chart.legend(loc="outside lower center", ncols=4, fontsize=8.5, frameon=False, labelcolor=INK)
    return chart
