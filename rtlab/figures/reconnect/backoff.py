"""Figures of reconnect policies: how random a delay is, and over what window a herd must be spread."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress, legend_label
from rtlab.figures.chart_style.palette import PALETTE, color_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["spread_figure", "window_figure"]

_DASHES: Final = ("-", "--", ":")


def spread_figure(spreads: Mapping[str, NDArray[np.float64]], *, title: str = "") -> Chart:
    """Draw the relative spread of the n-th delay, one line for each policy.

    Parameters
    ----------
    spreads : mapping of str to array
        Policy → spread by attempt, from `rtlab.experiments.reconnect.delays_that_become_equal.delay_spread`.
        Policies of one colour have different dashes.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 3.6, about=f"{title}: {', '.join(spreads)}")
    axes: Any = dress(chart.add_subplot(), title=title, xlabel="attempt n", ylabel="(P90 − P10) / mean")
    used: dict[str, int] = {}
    for index, (name, spread) in enumerate(spreads.items()):
        color = color_of(name, index)
        used[color] = used.get(color, -1) + 1
        axes.plot(
            spread, color=color, linestyle=_DASHES[used[color] % 3], marker=".", label=legend_label(name)
        )
    axes.set_ylim(-0.05, 1.8)
    chart.legend(
        *axes.get_legend_handles_labels(),
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    return chart


def window_figure(
    windows: Sequence[float],
    found: Mapping[str, Sequence[float]],
    models: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]],
    *,
    enough: float,
    title: str = "",
) -> Chart:
    """Draw the effect of spreading a herd once over a window: simulated points, and the model's lines.

    Parameters
    ----------
    windows : sequence of float
        Windows W in seconds.
    found, models : mapping of str to sequence, and to a function of W
        Name of the result → simulated values in seconds, one for each window, and the model's function.
    enough : float
        N/μ in seconds, marked by a vertical line.
    title : str
        Title above the axes.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    chart = Chart(9, 3.6, about=f"{title}: simulated and model")
    axes: Any = dress(chart.add_subplot(), title=title, xlabel="window W (s)", ylabel="seconds")
    curve = np.linspace(min(windows) / 2, max(windows), 200)
    for name, mark, dash in zip(found, "os", _DASHES, strict=False):
        axes.plot(curve, models[name](curve), color=PALETTE["grey"], linestyle=dash, label=f"model: {name}")
        axes.plot(windows, found[name], mark, color=PALETTE["blue"], label=f"simulated: {name}")
    axes.axvline(enough, color=PALETTE["grey"], linewidth=0.8, linestyle=":")
    axes.annotate("W = N/μ", (enough, 0), xytext=(4, 4), textcoords="offset points", fontsize=9, color=INK)
    chart.legend(
        *axes.get_legend_handles_labels(),
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    return chart
