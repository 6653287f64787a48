"""Long polls on two time lines: when each request and each answer left, and when it arrived."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rtlab.figures.chart import FAINT, INK, Chart, dress
from rtlab.figures.palette import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rtlab.capture.http_exchanges import Exchange

__all__ = ["polls_figure"]


def polls_figure(
    client: Sequence[Exchange],
    server: Sequence[Exchange],
    sent: Mapping[str, float],
    *,
    title: str = "",
) -> Chart:
    """Draw polls between a client and a server; time runs down, so each arrow's slope is its transit.

    Parameters
    ----------
    client, server : sequence of Exchange
        The same polls, as they passed a tap at either end.
    sent : mapping
        What to write on the server's line, and when that happened: monotonic seconds.
    title : str
        Shown above.

    Returns
    -------
    Chart

    Raises
    ------
    ValueError
        When one end saw other polls than the other.
    """
    if len(client) != len(server):
        raise ValueError(f"expected the same polls at both ends, got {len(client)} and {len(server)}")
    start = min([*sent.values(), *(poll.answered for poll in server)])
    end = max(poll.answered for poll in client)
    about = f"{title}: {len(client)} polls, {len(sent)} messages"
    chart = Chart(8.0, 5.2, about=about)
    axes = dress(chart.add_subplot(), title=title, ylabel="time (ms)")
    axes.set(xlim=(-0.55, 1.35), ylim=((end - start) * 1e3 + 25, -45), xticks=[])
    axes.spines["bottom"].set_visible(False)
    for at, name in ((0, "server"), (1, "client")):
        axes.axvline(at, color=FAINT, linewidth=1.2)
        axes.text(at, -32, name, ha="center", weight="bold", color=INK)
    for near, far in zip(client, server, strict=True):
        _arrow(axes, 1, near.asked - start, 0, far.asked - start, "request", "grey")
        _arrow(axes, 0, far.answered - start, 1, near.answered - start, "response", "green")
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
    return chart


def _arrow(axes: Axes, x0: float, t0: float, x1: float, t1: float, text: str, color: str) -> None:
    if t1 < 0:
        return  # arrived before the diagram begins
    style = {"arrowstyle": "-|>", "color": PALETTE[color], "linewidth": 1.8}
    axes.annotate("", xy=(x1, t1 * 1e3), xytext=(x0, t0 * 1e3), arrowprops=style, annotation_clip=True)
    if t0 >= 0:
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
        middle = (t0 + t1) * 500
        axes.text(0.5, middle, text, ha="center", va="center", fontsize=8.5, color=INK, bbox=box)
