"""Figures of the cost of a fallback: time spent on each transport tried, and strategies compared."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rtlab.figures.chart_style.matplotlib_style import FAINT, INK, Chart, dress, legend_label
from rtlab.figures.chart_style.palette import PALETTE, TRANSPORT_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Arrival", "Tried", "race_figure", "trials_figure"]


class Tried(NamedTuple):
    """One attempt: the transport, the seconds until its outcome was known, and whether it works."""

    transport: str
    seconds: float
    works: bool


class Arrival(NamedTuple):
    """The result of one strategy on one network, in seconds since the start.

    Parameters
    ----------
    first : float
        Seconds until the first message.
    best : float
        Seconds until the best transport of this network carried the stream; NaN if it never did.
    transport : str
        Name of the best transport.
    """

    first: float
    best: float
    transport: str


def trials_figure(networks: Mapping[str, Sequence[Tried]], *, deadline: float, title: str = "") -> Chart:
    """Draw one bar for each network: the transports that were tried in turn, refused ones hatched.

    Parameters
    ----------
    networks : mapping
        Name of the network → the attempts, in order.
    deadline : float
        Deadline of each transport in seconds, drawn as a line.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9, 0.45 * len(networks) + 1.3, about=f"{title}: {len(networks)} networks")
    axes = dress(chart.add_subplot(), title=title, xlabel="seconds")
    least = 0.006 * max(sum(one.seconds for one in tried) for tried in networks.values())
    for row, tried in enumerate(networks.values()):
        start = 0.0
        for one in tried:
            look: dict[str, Any] = {
                "color": TRANSPORT_COLORS[one.transport],
                "hatch": "" if one.works else "///",
                "ec": "white",
            }
            axes.barh(row, max(one.seconds, least), left=start, **look)
            start += one.seconds
        axes.text(start + 2 * least, row, f"{start:.2f} s", va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(networks)), list(networks))
    axes.axvline(deadline, color=FAINT, lw=1, ls=":", label=f"deadline, {deadline:g} s")
    axes.invert_yaxis()
    used = dict.fromkeys(one.transport for tried in networks.values() for one in tried)
    for name in used:
        axes.barh(0, 0, color=TRANSPORT_COLORS[name], label=name)
    axes.barh(0, 0, color="none", hatch="///", ec=FAINT, label="refused")
    _legend_below(axes)
    axes.margins(x=0.12)
    return chart


def race_figure(networks: Mapping[str, Mapping[str, Arrival]], *, title: str = "") -> Chart:
    """Draw when each strategy got its first message (dot), and the best transport (square).

    Parameters
    ----------
    networks : mapping
        Name of the network → strategy → its result.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    strategies = list(dict.fromkeys(name for fared in networks.values() for name in fared))
    colors = dict(zip(strategies, (PALETTE["vermilion"], PALETTE["sky"]), strict=False))
    chart = Chart(9, 0.65 * len(networks) + 1.4, about=f"{title}: {len(networks)} networks")
    axes = dress(chart.add_subplot(), title=title, xlabel="seconds since the start")
    for row, fared in enumerate(networks.values()):
        for place, (name, arrival) in enumerate(fared.items()):
            at = row + 0.36 * (place - (len(fared) - 1) / 2)
            axes.plot([0, arrival.best], [at, at], color=colors[name], lw=1.5, alpha=0.5)
            axes.plot(arrival.first, at, "o", color=colors[name], ms=8)
            axes.plot(arrival.best, at, "s", color="none", mec=colors[name], mew=1.8, ms=11)
            arrived = not math.isnan(arrival.best)
            when = f"{arrival.best:.2f} s" if arrived else "never"
            text = f"{arrival.first:.2f} s, {arrival.transport} {when}"
            axes.annotate(
                text,
                (arrival.best if arrived else arrival.first, at),
                (10, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=INK,
            )
    axes.set_yticks(range(len(networks)), list(networks))
    axes.invert_yaxis()
    for name in strategies:
        axes.plot([], [], color=colors[name], lw=3, label=legend_label(name))
    axes.plot([], [], "o", color=FAINT, label="first message")
    axes.plot([], [], "s", color="none", mec=FAINT, label="best transport")
    _legend_below(axes)
    seconds = [moment for fared in networks.values() for a in fared.values() for moment in (a.first, a.best)]
    latest = max(moment for moment in seconds if not math.isnan(moment))
    axes.set_xlim(0, 1.35 * latest)
    return chart


def _legend_below(axes: Axes) -> None:
    axes.legend(
        frameon=False, fontsize=9, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.2), labelcolor=INK
    )
