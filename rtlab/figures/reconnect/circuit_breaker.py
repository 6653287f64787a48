"""Figure of connection attempts while a server is down, and of the circuit breaker's states meanwhile."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, legend_label
from rtlab.figures.chart_style.palette import PALETTE, SERIES_CYCLE

__all__ = ["breaker_figure"]

#: State → colour and line width. A probe that fails at once ends *half-open* at the moment when it began, and
#: *open* is drawn at the same place: so the line of *half-open* is the widest.
_STATES = {"open": ("vermilion", 1.0), "half-open": ("yellow", 4.0), "closed": ("green", 1.0)}


def breaker_figure(
    attempts: Mapping[str, Sequence[float]],
    outage: float,
    changes: Sequence[tuple[float, str]],
    *,
    title: str = "",
) -> Chart:
    """Draw cumulative attempts over time, one step line per group, and the breaker's state changes.

    Parameters
    ----------
    attempts : mapping of str to sequence of float
        Group of clients → times of its attempts, in seconds since the connection was lost.
    outage : float
        Seconds that the server was down.
    changes : sequence of (float, str)
        Seconds since the loss, and the breaker's new state.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 3.6, about=f"attempts while the server is down: {', '.join(attempts)}")
    axes: Any = dress(
        chart.add_subplot(), title=title, xlabel="time since the loss (s)", ylabel="attempts so far"
    )
    axes.axvspan(0, outage, color=PALETTE["grey"], alpha=0.12, lw=0, label="down")
    for (name, times), color in zip(attempts.items(), SERIES_CYCLE, strict=False):
        axes.step(
            np.sort(times), np.arange(1, len(times) + 1), where="post", color=color, label=legend_label(name)
        )
    seen: set[str] = set()
    for at, state in changes:
        label = None if state in seen else f"the shared breaker: {state}"
        seen.add(state)
        color, width = _STATES[state]
        axes.axvline(at, color=PALETTE[color], lw=width, ls=":" if width == 1 else "-", label=label, zorder=1)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return chart
