"""Slow consumers: what waits for them, how old their data is, and how long a queue gets."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from rtlab.figures.chart import INK, Chart, dress
from rtlab.figures.palette import OVERFLOW_COLORS, PALETTE

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
    """Draw what waited in the server, over how old each consumer's newest message was.

    Parameters
    ----------
    waiting, age : mapping of str to array of shape (points, 2)
        Policy → seconds, and messages that wait; seconds, and age in seconds.
    stall : (float, float)
        When nothing came through.
    fill : array of shape (points, 2)
        The model of the queue: seconds, and messages.
    title : str
        What was run.

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
        # Lines that coincide are all seen: solid ones lie on wider ones, and broken ones on top.
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
    # Outside: on a slow machine lines end anywhere.
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
        Load ρ → mean wait in services.
    played : sequence of (float, float)
        Load, and mean wait in services, of simulated runs.
    measured : (float, float) or None
        The same of a real one; None where it was stopped.
    title : str
        What was run.

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
