"""Figures of slow consumers: their backlog in the server, the age of their data, and the wait in a queue."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress
from rtlab.figures.chart_style.palette import OVERFLOW_COLORS, PALETTE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["queue_wait_figure", "stall_figure"]

_STYLES: Final = {"block": "--", "disconnect": ":"}


def stall_figure(
    waiting: Mapping[str, NDArray[np.float64]],
    age: Mapping[str, NDArray[np.float64]],
    stall: tuple[float, float],
    fill: NDArray[np.float64],
    title: str,
) -> Chart:
    """Draw the backlog in the server above, and the age of each consumer's newest message below.

    Parameters
    ----------
    waiting, age : mapping of str to array of shape (points, 2)
        Overflow policy → time in seconds and number of waiting messages; time and age, both in seconds.
    stall : (float, float)
        Start and end of the stall, in seconds: no data passed in between.
    fill : array of shape (points, 2)
        The model of the backlog: time in seconds, and messages.
    title : str
        Title above the axes: the setting of the run.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 6, about=f"{title}: messages that wait, and age of the data, by policy")
    above, below = chart.subplots(2, 1, sharex=True)
    dress(above, title=title, ylabel="messages in the server")
    dress(below, xlabel="seconds", ylabel="age of the newest (s)")
    for axes, series in ((above, waiting), (below, age)):
        axes.axvspan(*stall, color=INK, alpha=0.15, linewidth=0, label="stall")
        # Lines that coincide stay visible: narrow solid lines lie on wider ones, dashed lines on top.
        solid = [policy for policy in series if policy not in _STYLES]
        widths = {policy: 1.6 + 2.2 * above_it for above_it, policy in enumerate(reversed(solid))}
        for policy, points in series.items():
            color, width = OVERFLOW_COLORS.get(policy, INK), widths.get(policy, 1.6)
            layer, style = (2, "-") if policy in widths else (3, _STYLES[policy])
            axes.plot(*points.T, style, color=color, linewidth=width, zorder=layer, label=policy)
    above.plot(
        *fill.T,
        "--D",
        color=INK,
        linewidth=1.2,
        markersize=8,
        markerfacecolor="none",
        zorder=4,
        label="λ·t, up to the bound",
    )
    for axes in (above, below):
        axes.set_ylim(bottom=0)
    # The legend is outside the axes, because on a slow machine lines may end anywhere.
    chart.legend(
        *above.get_legend_handles_labels(),
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        ncols=4,
        loc="outside lower center",
    )
    return chart


def queue_wait_figure(
    law: Callable[[ArrayLike], ArrayLike],
    played: Sequence[tuple[float, float]],
    measured: tuple[float, float] | None,
    title: str,
) -> Chart:
    """Draw the mean wait over the load: the closed form, the simulation, and one real run.

    Parameters
    ----------
    law : callable
        Closed form: load ρ → mean wait in units of the service time.
    played : sequence of (float, float)
        Load, and mean wait in service times, of simulated runs.
    measured : (float, float) or None
        Load and mean wait of a real run; None if it was stopped.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(6.5, 3.2, about=f"{title}: mean wait over the load")
    axes = dress(chart.add_subplot(), title=title, xlabel="load ρ = λ/μ", ylabel="mean wait (services)")
    loads = np.linspace(0.05, 0.96, 100)
    axes.plot(loads, law(loads), color=INK, linewidth=1, label="ρ / (2(1 − ρ))")
    axes.plot(*zip(*played, strict=True), "o", color=PALETTE["sky"], markersize=6, label="simulated")
    if measured is not None:
        axes.plot(*measured, "X", color=PALETTE["vermilion"], markersize=10, label="measured")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    return chart
