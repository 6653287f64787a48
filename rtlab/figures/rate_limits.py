"""Figure of how many messages rate limits admit over time, beside the token bucket's bound b + r·t."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, legend_label, say_empty
from rtlab.figures.chart_style.palette import PALETTE, SERIES_CYCLE

__all__ = ["admitted_figure"]


def admitted_figure(
    admitted: Mapping[str, Sequence[float]],
    *,
    rate: float,
    burst: float,
    offered: Sequence[float],
    title: str = "",
) -> Chart:
    """Draw the messages admitted by each rule as a step line, and the token bucket's bound.

    Parameters
    ----------
    admitted : mapping of str to sequence of float
        Rule → seconds at which messages were admitted.
    rate, burst : float
        Messages per second, and messages, of the bound ``burst + rate · t``; t is 0 at the first message.
    offered : sequence of float
        Seconds at which all messages were offered.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.

    Examples
    --------
    >>> admitted_figure({"bucket": [0.0]}, rate=1, burst=1, offered=[0.0, 0.1])
    <Chart: messages admitted by bucket, of 2>
    """
    chart = Chart(9, 3.6, about=f"messages admitted by {', '.join(admitted)}, of {len(offered)}")
    axes: Any = dress(chart.add_subplot(), title=title, xlabel="time (s)", ylabel="messages admitted so far")
    if not len(offered):
        say_empty(axes)
        return chart
    begin, end = min(offered), max(offered)
    for (name, times), color in zip(admitted.items(), SERIES_CYCLE, strict=False):
        axes.step(
            [*np.sort(times), end],
            [*range(1, len(times) + 1), len(times)],
            where="post",
            color=color,
            label=legend_label(name),
        )
    line = np.array([begin, end])
    label = f"the bound: {burst:g} + {rate:g}/s · t"
    axes.plot(line, burst + rate * (line - begin), color=PALETTE["grey"], ls="--", lw=1.2, label=label)
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return chart
