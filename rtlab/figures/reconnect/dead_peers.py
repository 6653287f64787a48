"""Figures of dead connections: the share detected over time, and what TCP alone does about one."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import FAINT, INK, Chart, dress
from rtlab.figures.chart_style.palette import PALETTE, SERIES_CYCLE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Law", "SilentConnection", "SilentSegment", "dead_path_figure", "detection_figure"]

_MARKS = {"data": ("o", "blue", "data, sent again"), "probe": ("^", "green", "keepalive probe")}
_END: Any = {"marker": "X", "color": PALETTE["vermilion"], "s": 80, "zorder": 3}
_BESIDE: Any = {"xytext": (7, -3), "textcoords": "offset points", "fontsize": 8, "color": INK}


class Law(Protocol):
    """A distribution of detection times, such as those of `rtlab.models.detection_time_distribution`."""

    @property
    def high(self) -> float: ...
    def cdf(self, seconds: ArrayLike) -> NDArray[np.float64]: ...


class SilentSegment(Protocol):
    """A segment sent into a dead path: seconds since the path died, and a kind (``data`` or ``probe``)."""

    @property
    def t(self) -> float: ...
    @property
    def kind(self) -> str: ...


class SilentConnection(Protocol):
    """A connection whose path died: the segments its kernel sent, and when it gave up, if it did."""

    @property
    def name(self) -> str: ...
    @property
    def ended(self) -> float | None: ...
    @property
    def segments(self) -> Sequence[SilentSegment]: ...


def detection_figure(times: Mapping[str, ArrayLike], laws: Mapping[str, Law], *, title: str = "") -> Chart:
    """Draw the share of dead connections detected over time: measured dots, and the model as a line.

    Parameters
    ----------
    times : mapping of str to array of float
        Heartbeat → seconds until each dead connection was detected; ``inf`` if it never was.
    laws : mapping of str to Law
        Heartbeat → the model's distribution of detection times.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 3.8, about=f"share of dead connections noticed over time: {', '.join(times)}")
    axes: Any = dress(
        chart.add_subplot(), title=title, xlabel="time since the path died (s)", ylabel="noticed (%)"
    )
    last = 1.15 * max(law.high for law in laws.values())
    grid = np.linspace(0, last, 400)
    # Every other line is dashed, so that two equal lines are both visible.
    for (name, found), color, dashes in zip(times.items(), SERIES_CYCLE, cycle(("-", "--")), strict=False):
        steps = np.sort(np.asarray(found, float))
        shares = 100 * np.arange(1, len(steps) + 1) / len(steps)
        axes.plot(grid, 100 * laws[name].cdf(grid), color=color, lw=1.2, ls=dashes, label=f"law: {name}")
        axes.plot(steps, shares, ".", color=color, ms=5, label=f"measured: {name}")
    axes.set_xlim(0, last)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    return chart


def dead_path_figure(
    connections: Sequence[SilentConnection], seconds: float, *, title: str = "", ours: float | None = None
) -> Chart:
    """Draw the segments that a kernel sends into a dead path, one row per connection, and when it gives up.

    Of data segments only the retransmissions are drawn.

    Parameters
    ----------
    connections : sequence of SilentConnection
        The connections, from top to bottom.
    seconds : float
        How long the connections were observed, in seconds.
    title : str
        Title above the axes.
    ours : float, optional
        Latest detection, in seconds, by an application's heartbeat; shaded up to there.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(
        9, 0.9 + 0.42 * len(connections), about="what TCP sends into a dead path, and when it gives up"
    )
    axes: Any = dress(chart.add_subplot(), title=title, xlabel="time since the path died (s)")
    rows = range(len(connections) - 1, -1, -1)
    for row, connection in zip(rows, connections, strict=True):
        for kind, (marker, color, label) in _MARKS.items():
            times = [segment.t for segment in connection.segments if segment.kind == kind]
            if kind == "data":  # the first is the original at 0 s, not on this log axis
                del times[:1]
            axes.scatter(times, [row] * len(times), marker=marker, color=PALETTE[color], s=18, label=label)
        ended = connection.ended
        axes.plot([0.1, seconds if ended is None else ended], [row, row], color=INK, lw=0.8, zorder=0)
        if ended is None:
            axes.annotate("still open", (seconds, row), **_BESIDE)
        else:
            axes.scatter([ended], [row], label="TCP gives up", **_END)
            axes.annotate(f"{ended:.0f} s", (ended, row), **_BESIDE)
    if ours is not None:
        axes.axvspan(0.1, ours, color=PALETTE["blue"], alpha=0.12, lw=0, label="an application's ping")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(which="minor", colors=FAINT)
    axes.set_xlim(0.1, 2.2 * seconds)
    axes.set_yticks(list(rows), [connection.name for connection in connections])
    axes.grid(visible=False)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    chart.legend(
        once.values(),
        once.keys(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    return chart
