"""Connect time over distance: its slope is the number of round trips."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rtlab.figures.chart import Chart, dress
from rtlab.figures.palette import color_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ConnectTimes", "connect_time_figure"]


class ConnectTimes(Protocol):
    """Points and the line through them: milliseconds, and round trips for the slope."""

    @property
    def rtt_ms(self) -> NDArray[np.float64]: ...
    @property
    def connect_ms(self) -> NDArray[np.float64]: ...
    @property
    def slope(self) -> float: ...
    @property
    def base_ms(self) -> float: ...


def connect_time_figure(lines: Mapping[str, ConnectTimes]) -> Chart:
    """Draw connect time over the round trip that was added, with the fitted lines.

    Parameters
    ----------
    lines : mapping of str to ConnectTimes
        By transport.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(7, 4, about=f"connect time over round-trip time: {', '.join(lines)}")
    axes = chart.add_subplot()
    dress(axes, title="Connect time is k · RTT", xlabel="round trip added (ms)", ylabel="connect (ms)")
    for index, (name, line) in enumerate(lines.items()):
        color = color_of(name, index)
        axes.scatter(line.rtt_ms, line.connect_ms, color=color, s=14, alpha=0.5, linewidths=0)
        ends = np.array([0.0, line.rtt_ms.max()])
        label = f"{name}: {line.slope:.1f} · RTT"
        axes.plot(ends, line.base_ms + line.slope * ends, color=color, label=label)
    axes.legend(frameon=False)
    return chart
