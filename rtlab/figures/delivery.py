"""Figures of delivery: messages lost or duplicated in each mode, and the throughput of a window."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, say_empty
from rtlab.figures.chart_style.palette import PALETTE
from rtlab.models.window_throughput import window_throughput

__all__ = ["account_figure", "window_throughput_figure"]

#: Part of a bar: its name in the ledger's table (``once`` stands for ``received``), its label, its colour.
_PARTS = (
    ("once", "arrived", "blue"),
    ("duplicates", "came again", "orange"),
    ("lost", "lost", "vermilion"),
)


def account_figure(accounts: Mapping[str, Mapping[str, int]], *, title: str = "") -> Chart:
    """Draw one bar for each way of sending: messages received, received again, and lost.

    Parameters
    ----------
    accounts : mapping of str to mapping
        Way of sending → counts: ``received``, ``duplicates`` and ``lost``.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9.0, 1.2 + 0.55 * len(accounts), about=f"{title}: {', '.join(accounts)}")
    axes = dress(chart.subplots(), title=title, xlabel="messages")
    places = np.arange(len(accounts))
    left = np.zeros(len(accounts))
    for name, words, color in _PARTS:
        key = "received" if name == "once" else name
        counts = np.array([account[key] for account in accounts.values()], dtype=float)
        axes.barh(places, counts, left=left, height=0.6, color=PALETTE[color], label=words)
        for place, start, count in zip(places, left, counts, strict=True):
            if count:
                axes.annotate(
                    f"{count:g}", (start + count / 2, place), ha="center", va="center", color="white"
                )
        left += counts
    axes.set_yticks(places, list(accounts))
    axes.invert_yaxis()
    axes.margins(x=0.02)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=3, frameon=False, labelcolor=INK)
    return chart


def window_throughput_figure(measured: Mapping[int, float], rtt: float, *, title: str = "") -> Chart:
    """Draw measured rates over the window, with the model *window / round trip*.

    Parameters
    ----------
    measured : mapping of int to float
        Window (unacknowledged messages) → messages per second.
    rtt : float
        The round trip in seconds.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9.0, 4.0, about=f"{title}: messages per second over the window")
    axes = dress(
        chart.subplots(),
        title=title,
        xlabel="window (messages without an answer)",
        ylabel="messages per second",
        log_y=True,
    )
    windows = sorted(measured)
    if not windows:
        say_empty(axes)
        return chart
    grid = [windows[0], windows[-1]]  # two points are enough for a straight line on log scales
    law = [window_throughput(window, rtt) for window in grid]
    axes.plot(grid, law, color=PALETTE["grey"], label="model: window / round trip")
    rates = [measured[window] for window in windows]
    axes.plot(windows, rates, "o", color=PALETTE["blue"], markersize=7, label="measured")
    axes.set_xscale("log")
    axes.set_xticks(windows, [str(window) for window in windows])
    axes.minorticks_off()
    axes.legend(frameon=False, labelcolor=INK)
    return chart
