"""Figure of one freeze, as a closed-loop and an open-loop load tester report it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtlab.figures.chart_style.matplotlib_style import INK, Chart, dress
from rtlab.figures.chart_style.palette import color_of

__all__ = ["freeze_figure"]


def freeze_figure(
    testers: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], freeze: tuple[float, float]
) -> Chart:
    """Draw each response's latency over the time of its request: one panel for each tester.

    Parameters
    ----------
    testers : mapping of str to (array, array)
        Name → when each request was sent, or was due, and its latency; both in seconds.
    freeze : (float, float)
        Start and end of the freeze in seconds, shaded. The title counts the responses that took longer
        than a tenth of its length.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    names = " above, ".join(testers)
    chart = Chart(9, 1 + 1.6 * len(testers), about=f"latency over the moment of asking: {names} below")
    panels = chart.subplots(len(testers), sharex=True, sharey=True, squeeze=False)[:, 0]
    limit = (freeze[1] - freeze[0]) / 10
    for index, (axes, (name, (at, took))) in enumerate(zip(panels, testers.items(), strict=True)):
        slow = int((took > limit).sum())
        dress(
            axes,
            title=f"{name}: {slow} of {len(at):,} answers took over {1000 * limit:.0f} ms",
            ylabel="latency (ms)",
            xlabel="asked, or due, at (s)" if axes is panels[-1] else "",
        )
        axes.axvspan(*freeze, color=INK, alpha=0.12, linewidth=0)
        axes.semilogy(at, 1000 * took, "o", markersize=5, color=color_of(name, index))
    return chart
