"""Figures of connect time over round-trip time: the slope is the number of round trips."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import FAINT, INK, Chart, dress
from rtlab.figures.chart_style.palette import color_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ConnectTimes", "connect_phases_figure", "connect_time_figure"]


class ConnectTimes(Protocol):
    """Measured connect times in milliseconds, and a fitted line whose slope is a number of round trips."""

    @property
    def rtt_ms(self) -> NDArray[np.float64]: ...
    @property
    def connect_ms(self) -> NDArray[np.float64]: ...
    @property
    def slope(self) -> float: ...
    @property
    def base_ms(self) -> float: ...


def connect_time_figure(lines: Mapping[str, ConnectTimes]) -> Chart:
    """Draw connect time over the added round-trip time, with the fitted lines.

    Parameters
    ----------
    lines : mapping of str to ConnectTimes
        By transport. Each transport has its own axes with a common scale, because equal lines
        would hide each other.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(2.6 * len(lines) + 0.4, 3, about=f"connect time over round-trip time: {', '.join(lines)}")
    all_axes = chart.subplots(1, len(lines), sharey=True, squeeze=False)[0]
    for index, (name, line) in enumerate(lines.items()):
        axes, color = all_axes[index], color_of(name, index)
        dress(
            axes,
            title=f"{name}: {line.slope:.1f} · RTT",
            xlabel="round trip added (ms)",
            ylabel="" if index else "connect (ms)",
        )
        axes.scatter(line.rtt_ms, line.connect_ms, color=color, s=14, alpha=0.5, linewidths=0)
        ends = np.array([0.0, line.rtt_ms.max()])
        axes.plot(ends, line.base_ms + line.slope * ends, color=color)
    all_axes[0].set_ylim(bottom=0)  # only now: this ends the automatic scaling of all axes
    return chart


def connect_phases_figure(phases: Mapping[str, float], transport: str = "webrtc") -> Chart:
    """Draw the phases of a connect one after the other, in round trips.

    Parameters
    ----------
    phases : mapping of str to float
        Phase → number of round trips, in order.
    transport : str
        Name of the transport, which also gives the colour.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 1.9, about=f"round trips of each phase of a {transport} connect")
    axes = dress(
        chart.add_subplot(),
        title=f"{transport}: what the round trips are for",
        xlabel="round trips since the start",
    )
    at = 0.0
    for row, (phase, taken) in enumerate(phases.items()):
        axes.barh(row, taken, left=at, color=color_of(transport), height=0.6)
        words = f"{phase}: {taken:.1f}"
        left = at > sum(phases.values()) / 2
        axes.text(
            at - 0.1 if left else at + taken + 0.1,
            row,
            words,
            va="center",
            ha="right" if left else "left",
            fontsize=9,
            color=INK,
        )
        at += taken
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x", color=FAINT, alpha=0.3)
    return chart
