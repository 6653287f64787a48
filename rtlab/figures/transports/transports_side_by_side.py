"""Figure of transports side by side: distribution of transit times, connect time, bytes and CPU."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rtlab.figures.chart_style.labels import readable
from rtlab.figures.chart_style.matplotlib_style import FAINT, INK, Chart, dress
from rtlab.figures.chart_style.palette import color_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["comparison_figure"]


def comparison_figure(
    frame: pd.DataFrame, transits: Mapping[str, NDArray[np.float64]], *, about: str
) -> Chart:
    """Draw a comparison of transports.

    Parameters
    ----------
    frame : pandas.DataFrame
        A row for each transport; columns ``connect_p50_ms``, ``push_bytes``, ``send_bytes``,
        ``client_cpu_ms`` and ``server_cpu_ms`` (CPU of 1,000 pushes).
    transits : mapping of str to array
        Transport → milliseconds from the write to the arrival of each push.
    about : str
        How the data was measured, for the alternative text.

    Returns
    -------
    Chart
        A matplotlib `Figure`: a histogram for each transport, and bars.
    """
    chart = Chart(9, 7.4, about=f"{', '.join(transits)} compared: {about}")
    grid = chart.add_gridspec(2, 2)
    rows = grid[0, 0].subgridspec(len(transits), 1)
    edges = _edges(transits)
    for row, name in enumerate(transits):
        axes = chart.add_subplot(rows[row])
        _draw_transit(axes, name, transits[name], edges, row, last=row == len(transits) - 1)
    connect, wire, cpu = (chart.add_subplot(grid[place]) for place in ((0, 1), (1, 0), (1, 1)))
    _draw_bars(connect, frame, "Connect", "ms (median)", ("connect_p50_ms",))
    _draw_bars(wire, frame, "Bytes a message", "bytes on the wire", ("push_bytes", "send_bytes"))
    _draw_bars(cpu, frame, "CPU", "ms for 1,000 pushes", ("client_cpu_ms", "server_cpu_ms"))
    return chart


def _edges(transits: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the edges of the bins, the same for all transports: twelve bins per decade."""
    everything = np.concatenate([*transits.values(), np.array([0.1, 1.0])])
    known = everything[(everything > 0) & ~np.isnan(everything)]
    low, high = np.log10(np.percentile(known, (0.1, 99.9)))
    return 10.0 ** np.arange(np.floor(low * 12) / 12, high + 2 / 12, 1 / 12)


def _draw_transit(
    axes: Axes, name: str, taken: NDArray[np.float64], edges: NDArray[np.float64], row: int, *, last: bool
) -> None:
    title = "" if row else "One way, written to received"
    dress(axes, title=title, xlabel="transit (ms); the line is the median" if last else "")
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(labelbottom=last)
    axes.tick_params(which="minor", labelbottom=False)  # on less than a decade the labels would overlap
    axes.set_yticks([])
    axes.text(0.99, 0.75, name, transform=axes.transAxes, ha="right", va="center", fontsize=9, color=INK)
    values = taken[~np.isnan(taken) & (taken > 0)]
    if values.size:
        color = color_of(name, row)
        share = np.histogram(values, edges)[0] / values.size * 100
        axes.stairs(share, edges, fill=True, color=color, alpha=0.75)
        axes.axvline(float(np.median(values)), color=INK, linewidth=1.2)


def _draw_bars(axes: Axes, frame: pd.DataFrame, title: str, label: str, columns: tuple[str, ...]) -> None:
    dress(axes, title=title, ylabel=label)
    names = [str(name) for name in frame.index]
    colors = [color_of(name, i) for i, name in enumerate(names)]
    width = 0.8 / len(columns)
    for n, column in enumerate(columns):
        at = np.arange(len(names)) + (n - (len(columns) - 1) / 2) * width
        bars = axes.bar(
            at, frame[column].to_numpy(), width * 0.92, color=colors, alpha=1.0 if n == 0 else 0.45
        )
        axes.bar_label(bars, fmt=readable, fontsize=9, color=FAINT)
    axes.set_xticks(range(len(names)), names)
    if frame[list(columns)].isna().to_numpy().all():  # the run was stopped before this measurement
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "not measured:\nstopped before", transform=axes.transAxes, ha="center", color=FAINT
        )
    if len(columns) > 1:
        words = [column.partition("_")[0] for column in columns]
        axes.set_xlabel(f"full: {words[0]}; faint: {words[1]}", fontsize=9, color=FAINT)
