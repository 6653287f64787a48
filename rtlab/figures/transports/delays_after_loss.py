"""Figures of packet loss in a channel: delays by message number, and the delays after each loss overlaid."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, say_empty
from rtlab.figures.chart_style.palette import PALETTE

__all__ = ["delays_figure", "towers_figure"]

_COLORS = ("blue", "orange", "green", "purple", "grey", "sky")


def delays_figure(runs: Mapping[str, NDArray[np.float64]], *, title: str = "", under_way: int = 0) -> Chart:
    """Draw each message's delay over its number, one row of axes for each channel, with a common scale.

    Parameters
    ----------
    runs : mapping of str to array of shape (n, 2)
        Name of the channel → message number and delay in seconds; missing numbers are drawn as crosses.
    title : str
        Title above the axes.
    under_way : int
        After Stop: so many of the newest messages of a channel may still arrive, and get no cross.

    Returns
    -------
    Chart
    """
    top = max([1000 * float(run[:, 1].max(initial=0.001)) for run in runs.values()])
    chart = Chart(9.0, 0.5 + 1.75 * len(runs), about=f"{title}: delay by message number of {', '.join(runs)}")
    rows: Any = chart.subplots(len(runs), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, color, (name, run) in zip(rows, _COLORS, runs.items(), strict=False):
        numbers, delays = run[:, 0].astype(int), 1000 * run[:, 1]
        settled = int(numbers.max(initial=-1)) + 1 - under_way
        missing = sorted(set(range(settled)) - set(numbers.tolist()))
        last = axes is rows[-1]
        heading = f"{name}: {len(run)} came" + (f", {len(missing)} did not (×)" if missing else "")
        dress(axes, title=heading, ylabel="delay (ms)", xlabel="message number" if last else "")
        axes.vlines(numbers, 0, delays, color=PALETTE[color], linewidth=1.0, alpha=0.35)
        axes.plot(numbers, delays, ".", color=PALETTE[color], markersize=4)
        if not len(run):
            say_empty(axes)
        axes.plot(missing, [0] * len(missing), "x", color=PALETTE["vermilion"], markersize=6)
    rows[0].set_ylim(-0.06 * top, 1.06 * top)
    chart.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return chart


def towers_figure(
    towers: Mapping[str, Sequence[NDArray[np.float64]]],
    models: Mapping[str, tuple[float, float]],
    *,
    title: str = "",
) -> Chart:
    """Draw the delays of the messages after each loss or stall over each other, with the model's line.

    Parameters
    ----------
    towers : mapping of str to sequence of array of shape (n,)
        Name of the fault → for each occurrence the delays in seconds of the messages after it, in order.
    models : mapping of str to (float, float)
        Name of the fault → the first message's delay, and by how much less each next one waits, in seconds.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9.0, 3.4, about=f"{title}: {', '.join(towers)}, each with the model's line")
    columns: Any = chart.subplots(1, len(towers), sharey=True, squeeze=False)[0]
    for axes, color, (name, found) in zip(columns, _COLORS, towers.items(), strict=False):
        dress(axes, title=name, xlabel="messages behind the hole", ylabel="delay (ms)")
        for tower in found:
            axes.plot(range(len(tower)), 1000 * tower, ".-", lw=0.8, alpha=0.5, color=PALETTE[color])
        height, step = models[name]
        k = np.arange(int(np.ceil(height / step)) + 1)
        line = 1000 * np.maximum(0.0, height - k * step)
        axes.plot(k, line, color=PALETTE["vermilion"], lw=2.2, label=f"model: {1000 * height:.0f} ms − k·g")
        axes.set(ylim=(0, 1600 * height))
        axes.legend(frameon=False, labelcolor=INK)
    chart.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return chart
