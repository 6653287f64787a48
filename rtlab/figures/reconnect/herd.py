"""Figures of herds that reconnect: attempts (*knocks*), accepted connections, and connected clients."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, say_empty
from rtlab.figures.chart_style.palette import PALETTE, SERIES_CYCLE, color_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HerdCurves", "herd_figure", "storm_figure"]

_TIME: Final = "time since the loss (s)"
_DASHES: Final = ("-", "--", ":", "-.")
_DASH: Final = 3.0
#: If the busiest bin exceeds μ this many times, a linear axis would not show μ: then the scale is symlog.
_UNSEEN: Final = 50


class HerdCurves(Protocol):
    """The data of one herd that is drawn; times are in seconds since its server was lost."""

    @property
    def label(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def clients(self) -> int: ...
    @property
    def capacity(self) -> float: ...
    @property
    def outage(self) -> float: ...
    @property
    def bin_width(self) -> float: ...
    @property
    def times(self) -> NDArray[np.float64]: ...
    @property
    def attempts(self) -> NDArray[np.int64]: ...
    @property
    def accepted(self) -> NDArray[np.int64]: ...
    @property
    def attempts_per_client(self) -> float: ...


def storm_figure(
    runs: Sequence[HerdCurves], *, title: str = "", until: float | None = None, columns: int = 3
) -> Chart:
    """Draw one panel for each herd: the share of it that attempts to connect, and the share accepted.

    The vertical axis is a share of the herd in a bin: if all clients come at one moment, a rate would
    depend on the width of the bins.

    Parameters
    ----------
    runs : sequence of HerdCurves
        Each herd in its policy's colour: a light area for attempts, a line for accepted connections.
        The dashed line is the server's capacity, the dotted one the end of the outage.
    title : str
        Title above the panels.
    until : float or None
        Seconds that are shown; None for all.
    columns : int
        Panels in a row.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    rows = -(-len(runs) // columns)
    chart = Chart(9, 0.6 + 2.1 * rows, about=f"{title}: {', '.join(run.label for run in runs)}")
    chart.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    for place, run in enumerate(runs):
        width = f"{1000 * run.bin_width:.0f} ms"
        axes: Any = dress(
            chart.add_subplot(rows, columns, place + 1),
            xlabel=_TIME if place + columns >= len(runs) else "",
            ylabel=f"herd, % in {width}" if place % columns == 0 else "",
        )
        axes.set_title(run.label, loc="left", fontsize=10, color=INK)
        color, share = color_of(run.label, place), 100 / run.clients
        axes.fill_between(run.times, share * run.attempts, step="mid", color=color, alpha=0.3, lw=0)
        axes.plot(run.times, share * run.attempts, drawstyle="steps-mid", color=color, lw=0.7, alpha=0.7)
        axes.plot(run.times, share * run.accepted, drawstyle="steps-mid", color=color, lw=1.8)
        axes.axhline(share * run.capacity * run.bin_width, color=PALETTE["grey"], lw=0.8, ls="--")
        axes.axvline(run.outage, color=PALETTE["grey"], lw=0.8, ls=":")
        _uneven(axes)
        axes.set(ylim=(0, 400), xlim=(0, until or run.times[-1]))
    return chart


def _uneven(axes: Any) -> None:
    """Give axes a symlog scale, on which both 1 % and 100 % of a herd are visible."""
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])


def herd_figure(runs: Sequence[HerdCurves], *, title: str = "", until: float | None = None) -> Chart:
    """Draw attempts and connected clients over time, all herds in one pair of axes.

    Parameters
    ----------
    runs : sequence of HerdCurves
        Each herd in its policy's colour; measured herds are solid lines, simulated ones dashed. If
        a policy occurs under several names (``"full jitter, 503"``), each has its own dashes; if all
        have the same policy, each has its own colour. If all are simulated, the dashes of one lie in
        the gaps of the others, because their lines often coincide.
        The legend gives the attempts per client. The grey line is the server's capacity, μ; if it would
        lie on the axis, the scale is symlog, as in `storm_figure`.
    title : str
        Title above the axes.
    until : float or None
        Seconds that are shown; None: until the last attempt or connection.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    names = list(dict.fromkeys(run.label for run in runs))
    colors = {name: color_of(name, index) for index, name in enumerate(names)}
    if len(set(colors.values())) == 1:
        colors = dict(zip(names, SERIES_CYCLE, strict=False))
    shared = len(set(colors.values())) < len(names)
    chart = Chart(9, 4.4, about=f"who knocks and who is connected over time: {', '.join(names)}")
    width = f"{1000 * runs[0].bin_width:.0f} ms" if runs else ""
    rate: Any = dress(
        chart.add_subplot(1, 2, 1), title=title, xlabel=_TIME, ylabel=f"knocks in {width} (% of the herd)"
    )
    inside: Any = dress(chart.add_subplot(1, 2, 2), xlabel=_TIME, ylabel="connected (% of the herd)")
    alternate = not shared and len(names) > 1 and all(run.source == "simulated" for run in runs)
    for run in runs:
        same = [name for name in names if colors[name] == colors[run.label]]
        dashes: Any = (
            _DASHES[same.index(run.label) % 4] if shared else "-" if run.source == "measured" else "--"
        )
        if alternate:
            dashes = (-_DASH * names.index(run.label), (1.5 * _DASH, (len(names) - 1.5) * _DASH))
        look = {
            "color": colors[run.label],
            "linestyle": dashes,
            "linewidth": 1.6,
            "label": f"{run.label}, {run.source}: {run.attempts_per_client:.1f} attempts each",
        }
        rate.plot(run.times, 100 * run.attempts / run.clients, **look)
        inside.plot(run.times, 100 * np.cumsum(run.accepted) / run.clients, **look)
    shares = sorted({100 * run.capacity * run.bin_width / run.clients for run in runs})
    for share in shares:
        rate.axhline(
            share, color=PALETTE["grey"], linewidth=1.0, linestyle="-.", label="what the server can do, μ"
        )
    if shares and rate.get_ylim()[1] > _UNSEEN * shares[0]:
        _uneven(rate)
        rate.set_ylim(0, 150)
    last = max((run.times[run.attempts + run.accepted > 0].max(initial=0.0) for run in runs), default=1.0)
    inside.set_ylim(0, 104)
    for axes in (rate, inside):
        if not runs:
            say_empty(axes)
        for run in runs:
            axes.axvline(run.outage, color=PALETTE["grey"], linewidth=0.8, linestyle=":")
        axes.set_xlim(0, until or 1.05 * last)
    named = dict(zip(*reversed(rate.get_legend_handles_labels()), strict=True))  # one entry for μ
    legend = chart.legend(
        named.values(),
        named.keys(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    if alternate:  # the legend's short lines would show only a dash or two of the pattern
        for line in legend.get_lines()[: len(names)]:
            line.set_linestyle("--")
    return chart
