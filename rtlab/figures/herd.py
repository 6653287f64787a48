"""Herds that reconnect: attempts and connected clients over time."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rtlab.figures.chart import Chart, dress
from rtlab.figures.palette import PALETTE, SERIES_CYCLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HerdCurves", "herd_figure"]


class HerdCurves(Protocol):
    """What is drawn of one herd; times are seconds since its server was lost."""

    @property
    def label(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def clients(self) -> int: ...
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


def herd_figure(runs: Sequence[HerdCurves], *, title: str = "") -> Chart:
    """Draw attempts and connected clients over time; a policy has one colour.

    Parameters
    ----------
    runs : sequence of HerdCurves
        `rtlab.experiments.reconnect.herd_run.HerdRun`: measured ones become solid lines,
        simulated ones dashed. The legend counts attempts.
    title : str
        Shown above.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    names = list(dict.fromkeys(run.label for run in runs))
    chart = Chart(9, 4.4, about=f"attempts and connected clients over time: {', '.join(names)}")
    time = "time since the loss (s)"
    rate: Any = dress(chart.add_subplot(1, 2, 1), title=title, xlabel=time, ylabel="attempts (1/s)")
    inside: Any = dress(chart.add_subplot(1, 2, 2), xlabel=time, ylabel="connected (%)")
    for run in runs:
        look = {
            "color": SERIES_CYCLE[names.index(run.label) % len(SERIES_CYCLE)],
            "linestyle": "-" if run.source == "measured" else "--",
            "linewidth": 1.4,
            "label": f"{run.label}, {run.source}: {run.attempts_per_client:.1f} attempts each",
        }
        rate.plot(run.times, run.attempts / run.bin_width, **look)
        inside.plot(run.times, 100 * np.cumsum(run.accepted) / run.clients, **look)
    rate.set_yscale("symlog", linthresh=10)
    last = max((run.times[run.attempts + run.accepted > 0].max(initial=0.0) for run in runs), default=1.0)
    for axes in (rate, inside):
        for run in runs:
            axes.axvline(run.outage, color=PALETTE["grey"], linewidth=0.8, linestyle=":")
        axes.set_xlim(0, 1.05 * last)
    chart.legend(
        *inside.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    return chart
