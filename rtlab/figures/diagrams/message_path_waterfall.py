"""Figure of a message's path as a waterfall: when each leg begins, and how long it takes."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, say_empty
from rtlab.figures.chart_style.palette import PALETTE

__all__ = ["Leg", "way_figure"]


class Leg(NamedTuple):
    """One leg of the path.

    Parameters
    ----------
    text : str
        The leg's two ends, in words.
    began, ended : sequence of float
        When each message began and ended the leg, in seconds since the message was sent.
    color : str
        A name in `rtlab.figures.chart_style.palette.PALETTE`.
    """

    text: str
    began: Sequence[float]
    ended: Sequence[float]
    color: str = "blue"


def way_figure(legs: Sequence[Leg], *, title: str = "") -> Chart:
    """Draw the legs of a path below each other: medians as bars, and the 90th percentile of each end.

    Parameters
    ----------
    legs : sequence of Leg
        The legs, in order.
    title : str
        Title above the axes.

    Returns
    -------
    Chart

    Examples
    --------
    >>> way_figure([Leg("client to node", [0.0, 0.0], [0.001, 0.002])], title="a path")
    <Chart: a path: client to node>
    """
    chart = Chart(9, 1.2 + 0.45 * len(legs), about=f"{title}: {'; '.join(leg.text for leg in legs)}")
    axes = dress(chart.add_subplot(), title=title, xlabel="ms since the message was sent")
    last = 0.0
    for row, leg in enumerate(legs):
        if not (len(leg.began) and len(leg.ended)):
            continue  # no message came so far: the row stays empty
        start, end = (1e3 * float(np.median(stamps)) for stamps in (leg.began, leg.ended))
        late = 1e3 * float(np.percentile(leg.ended, 90))
        axes.barh(row, end - start, left=start, height=0.55, color=PALETTE[leg.color])
        axes.plot([end, late], [row, row], color=INK, linewidth=1.2)
        axes.plot([late, late], [row - 0.15, row + 0.15], color=INK, linewidth=1.2)
        axes.text(late, row, f"  {end - start:.2f} ms", va="center", fontsize=9, color=INK)
        last = max(last, late)
    axes.set_yticks(range(len(legs)), [leg.text for leg in legs])
    axes.set_ylim(len(legs) - 0.4, -0.6)
    if last:
        axes.set_xlim(0, 1.15 * last)
    if not axes.patches:
        say_empty(axes)
    return chart
