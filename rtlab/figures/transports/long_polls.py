"""Figures of long polls: requests and responses between client and server, and the wait for a poll."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import FAINT, INK, ON_PILL, PILL, Chart, dress
from rtlab.figures.chart_style.palette import PALETTE
from rtlab.models.polling import long_poll_extra_wait

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rtlab.capture.captured_http_exchanges import Exchange

__all__ = ["WaitPoint", "polls_figure", "wait_figure"]


class WaitPoint(NamedTuple):
    """The mean wait measured at one message rate on one network path.

    Parameters
    ----------
    in_gap : float
        Mean number of messages in a gap between a response and the next poll, λR.
    wait : float
        Mean wait of a message divided by the mean gap.
    interval : (float, float)
        Confidence interval of `wait`.
    path : str
        Name of the path in the legend; points of one path share a marker.
    """

    in_gap: float
    wait: float
    interval: tuple[float, float]
    path: str


def polls_figure(
    client: Sequence[Exchange],
    server: Sequence[Exchange],
    sent: Mapping[str, float],
    *,
    carried: Sequence[str] = (),
    waits: Mapping[str, tuple[float, float]] | None = None,
    title: str = "",
) -> Chart:
    """Draw polls between a client and a server; time runs down, so each arrow's slope is its transit.

    Parameters
    ----------
    client, server : sequence of Exchange
        The same polls, as they passed a tap at the client's end, and at the server's.
    sent : mapping
        Text beside the server's line → monotonic seconds of that event.
    carried : sequence of str
        Text on each response's arrow.
    waits : mapping, optional
        Text beside a bracket at the client → its start and end in monotonic seconds.
    title : str
        Title above the axes.

    Returns
    -------
    Chart

    Raises
    ------
    ValueError
        If the two ends did not see the same number of polls.
    """
    if len(client) != len(server):
        raise ValueError(f"expected the same polls at both ends, got {len(client)} and {len(server)}")
    start = min([*sent.values(), *(poll.answered for poll in server)])
    end = max(poll.answered for poll in client)
    about = f"{title}: {len(client)} polls, {len(sent)} messages"
    chart = Chart(8.0, 5.2, about=about)
    axes = dress(chart.add_subplot(), title=title, ylabel="time (ms)")
    axes.set(xlim=(-0.55, 1.8), ylim=((end - start) * 1e3 + 25, -45), xticks=[])
    axes.spines["bottom"].set_visible(False)
    for at, name in ((0, "server"), (1, "client")):
        axes.axvline(at, color=FAINT, linewidth=1.2)
        axes.text(at, -32, name, ha="center", weight="bold", color=INK)
    for nth, (near, far) in enumerate(zip(client, server, strict=True)):
        answer = carried[nth] if nth < len(carried) else "response"
        _arrow(axes, 1, near.asked - start, 0, far.asked - start, "request", "grey")
        _arrow(axes, 0, far.answered - start, 1, near.answered - start, answer, "green")
    for n, (text, at) in enumerate(sent.items()):
        axes.plot(0, (at - start) * 1e3, "o", color=PALETTE["vermilion"], zorder=3)
        axes.annotate(
            text,
            (0, (at - start) * 1e3),
            xytext=(-8, 0),
            textcoords="offset points",
            ha="right",
            va="top" if n else "bottom",  # so that close labels do not overlap
            fontsize=9,
            color=INK,
        )
    for n, (text, (begin, over)) in enumerate((waits or {}).items()):
        x, times = 1.08 + 0.36 * n, [(at - start) * 1e3 for at in (begin, over)]
        axes.plot([x - 0.02, x, x, x - 0.02], [times[0], *times, times[1]], color=INK, linewidth=1.2)
        axes.text(x + 0.03, times[1], text, va="bottom", fontsize=9, color=INK)
    return chart


def wait_figure(points: Sequence[WaitPoint], *, title: str = "") -> Chart:
    """Draw the mean wait for a poll, in gaps, over the messages per gap: one curve for all paths.

    Parameters
    ----------
    points : sequence of WaitPoint
        The measurements; each path has its own marker.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
    """
    chart = Chart(9.0, 3.8, about=f"{title}: model and {len(points)} measurements")
    axes = dress(chart.add_subplot(), title=title, xlabel="messages in a gap, λR", ylabel="mean wait / gap")
    curve = np.logspace(-1.5, 1.2, 200)
    axes.plot(curve, long_poll_extra_wait(curve, 1.0), color=PALETTE["green"], label="closed form")
    axes.axhline(0.5, color=PALETTE["grey"], linewidth=0.9, linestyle=":", label="rule of thumb: half a gap")
    for path, mark in zip(dict.fromkeys(point.path for point in points), "os^vDP", strict=False):
        here = [point for point in points if point.path == path]
        wait = [point.wait for point in here]
        reach: Any = np.abs(np.array([point.interval for point in here]).T - wait)
        axes.errorbar(
            [point.in_gap for point in here],
            wait,
            reach,
            fmt=mark,
            color=PALETTE["blue"],
            capsize=3,
            label=f"measured, {path}",
        )
    axes.set(xscale="log", ylim=(0, 0.62))
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    chart.legend(loc="outside right upper", fontsize=8, frameon=False, labelcolor=INK)
    return chart


def _arrow(axes: Axes, x0: float, t0: float, x1: float, t1: float, text: str, color: str) -> None:
    if t1 < 0:
        return  # arrived before the diagram begins
    style = {"arrowstyle": "-|>", "color": PALETTE[color], "linewidth": 1.8}
    axes.annotate("", xy=(x1, t1 * 1e3), xytext=(x0, t0 * 1e3), arrowprops=style, annotation_clip=True)
    if t0 >= 0:
        middle = (t0 + t1) * 500
        axes.text(0.5, middle, text, ha="center", va="center", fontsize=8.5, color=ON_PILL, bbox=PILL)
