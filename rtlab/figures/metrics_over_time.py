"""Figure of several readings in milliseconds over time, and the spans in which something was wrong."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, legend_label, say_empty
from rtlab.figures.chart_style.palette import PALETTE, color_of

__all__ = ["readings_figure"]


def readings_figure(
    readings: Mapping[str, Sequence[tuple[float, float]]],
    spans: Sequence[tuple[float, float]],
    *,
    limit: float,
    title: str = "",
    spans_label: str = "stopped",
) -> Chart:
    """Draw readings as steps, with the spans in which something was wrong behind them.

    Parameters
    ----------
    readings : mapping of str to sequence of (float, float)
        Name → (seconds, milliseconds); readings that are 0 or not finite are left out.
    spans : sequence of (float, float)
        Start and end of each span, in seconds.
    limit : float
        Milliseconds above which an alert would fire.
    title, spans_label : str
        Title above the axes, and the spans' text in the legend.

    Returns
    -------
    Chart

    Examples
    --------
    >>> readings_figure({"mean": [(0, 1.0), (1, 2.0)]}, [(0.2, 0.4)], limit=50, title="lateness")
    <Chart: lateness: mean>
    """
    chart = Chart(9, 3.8, about=f"{title}: {', '.join(readings)}")
    axes = dress(chart.add_subplot(), title=title, xlabel="s", ylabel="ms", log_y=True)
    for n, (begin, end) in enumerate(spans):
        axes.axvspan(begin, end, color=PALETTE["grey"], alpha=0.3, label=None if n else spans_label, lw=0)
    for index, (name, points) in enumerate(readings.items()):
        shown = [(at, ms) for at, ms in points if 0 < ms < float("inf")]
        if shown:
            seen: dict[str, Any] = {"color": color_of(name, index), "label": legend_label(name)}
            axes.step(*zip(*shown, strict=True), where="post", **seen)
    if not axes.lines:
        say_empty(axes)
        return chart
    axes.axhline(limit, color=PALETTE["vermilion"], linestyle="--", linewidth=1, label=f"limit, {limit:g} ms")
    axes.legend(frameon=False, labelcolor=INK, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return chart
