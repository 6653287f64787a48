"""Sequence diagrams of recorded messages, from top to bottom."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rtlab.figures.chart_style.matplotlib_style import FAINT, INK, ON_PILL, PILL, Chart
from rtlab.figures.chart_style.palette import PALETTE

__all__ = ["Arrow", "Stage", "sequence_figure"]


class Arrow(NamedTuple):
    """One message between two lanes.

    Parameters
    ----------
    source, target : str
        Names of the lanes; the same lane twice makes a note in it.
    text : str
        Text on the arrow, or of the note.
    at : float, optional
        When the message was seen, in seconds; written at the margin.
    color : str
        A name in `rtlab.figures.chart_style.palette.PALETTE`.
    """

    source: str
    target: str
    text: str
    at: float | None = None
    color: str = "grey"


class Stage(NamedTuple):
    """Rows that belong together, with a bracket at the right.

    Parameters
    ----------
    text : str
        Text beside the bracket.
    first, last : int
        Indices of the first and the last arrow of the stage, both included.
    """

    text: str
    first: int
    last: int


def sequence_figure(
    lanes: Sequence[str], arrows: Sequence[Arrow], *, title: str = "", stages: Sequence[Stage] = ()
) -> Chart:
    """Draw messages between lanes, one row for each message.

    Parameters
    ----------
    lanes : sequence of str
        Names of the lanes, from left to right.
    arrows : sequence of Arrow
        The messages, in order. All rows have the same height; times are written at the margin.
    title : str
        Title above the lanes.
    stages : sequence of Stage
        Groups of consecutive rows to bracket.

    Returns
    -------
    Chart

    Raises
    ------
    ValueError
        If an arrow names a lane that is not in `lanes`.

    Examples
    --------
    >>> sequence_figure(["a", "b"], [Arrow("a", "b", "hello")], title="greeting")
    <Chart: greeting: 1 messages between a, b>
    """
    x = {lane: float(n) for n, lane in enumerate(lanes)}
    strangers = {lane for arrow in arrows for lane in arrow[:2]} - set(x)
    if strangers:
        raise ValueError(f"expected lanes out of {', '.join(lanes)}, got {', '.join(sorted(strangers))}")
    about = f"{title}: {len(arrows)} messages between {', '.join(lanes)}"
    chart = Chart(9.0, 1.0 + 0.32 * len(arrows), about=about)
    axes = chart.add_subplot()
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    right = len(lanes) - 1 + 0.1
    axes.set_xlim(
        -0.25 * max(1, len(lanes) - 1) / 2 - 0.1, right + (0.45 * (len(lanes) - 1) if stages else 0)
    )
    axes.set_ylim(len(arrows) + 0.3, -1.4)
    for lane, at in x.items():
        axes.plot([at, at], [-0.7, len(arrows) + 0.2], color=FAINT, linewidth=1.0)
        axes.text(at, -0.9, lane, ha="center", fontsize=10, fontweight="bold", color=INK)
    for stage in stages:
        top, bottom = stage.first - 0.35, stage.last + 0.35
        axes.plot([right, right + 0.03, right + 0.03, right], [top, top, bottom, bottom], color=FAINT, lw=1.2)
        middle = (top + bottom) / 2
        axes.text(right + 0.06, middle, stage.text, ha="left", va="center", fontsize=9, color=INK)
    for row, arrow in enumerate(arrows):
        start, end = x[arrow.source], x[arrow.target]
        if arrow.at is not None:
            axes.text(
                -0.03, row, f"{arrow.at * 1e3:.0f} ms", ha="right", va="center", fontsize=8, color=FAINT
            )
        if start != end:
            style = {"arrowstyle": "-|>", "color": PALETTE[arrow.color], "linewidth": 1.6}
            axes.annotate("", xy=(end, row), xytext=(start, row), arrowprops=style)
            axes.text(
                (start + end) / 2, row - 0.06, arrow.text, ha="center", va="bottom", fontsize=8.5, color=INK
            )
        else:
            # A centred note in the first lane would cover the times at the margin.
            side = "left" if start == 0 else "right" if start == len(lanes) - 1 else "center"
            axes.text(start, row, arrow.text, ha=side, va="center", fontsize=8.5, color=ON_PILL, bbox=PILL)
    return chart
