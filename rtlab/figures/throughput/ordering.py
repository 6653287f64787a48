"""Figures of the order of a stream over several connections: reordering, and how often it occurs."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, say_empty
from rtlab.figures.chart_style.palette import PALETTE, color_of

__all__ = ["overtakes_figure", "release_figure"]


def release_figure(
    arrivals: Mapping[str, Sequence[tuple[int, float]]], released: Sequence[tuple[int, float]], title: str
) -> Chart:
    """Draw when each message arrives, by connection, and when a reorder buffer releases it.

    Parameters
    ----------
    arrivals : mapping of str to sequence of (int, float)
        Member (one of the connections) → number of each message, and its arrival in ms.
    released : sequence of (int, float)
        Number of each message, and when the reorder buffer released it, in ms.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 3.4, about=f"{title}: arrivals by member, and in order")
    axes = dress(chart.add_subplot(), title=title, xlabel="ms since the first was sent", ylabel="number")
    for index, (member, points) in enumerate(arrivals.items()):
        numbers, times = [number for number, _ in points], [at for _, at in points]
        axes.plot(
            times, numbers, "o", markersize=5, color=color_of("", index), label=f"arrives over {member}"
        )
    numbers, times = [number for number, _ in released], [at for _, at in released]
    if not released:
        say_empty(axes)
    axes.step(times, numbers, where="post", color=INK, linewidth=1, label="leaves the reorder buffer")
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return chart


def overtakes_figure(points: Mapping[float, float], law: Callable[[float], float]) -> Chart:
    """Draw how many messages overtake one on the slow connection, measured beside the closed form.

    Parameters
    ----------
    points : mapping of float to float
        Extra delay of the slow connection in ms → measured mean number of messages that overtake.
    law : callable
        Closed form: the same function.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(5.5, 3.0, about="messages that overtake a slow one, over its delay")
    axes = dress(chart.add_subplot(), xlabel="how much slower one member is (ms)", ylabel="overtaken by")
    if not points:
        say_empty(axes)
        return chart
    delays = np.linspace(0, 1.1 * max(points), 50)
    axes.plot(
        delays, [law(float(delay)) for delay in delays], color=INK, linewidth=1, label="(D/g)·(m − 1)/m"
    )
    axes.plot(list(points), list(points.values()), "o", color=PALETTE["blue"], label="measured")
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return chart
