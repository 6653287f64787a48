"""Transports side by side: distribution of latency, connect time, bytes and CPU."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rtlab.figures.chart import FAINT, Chart, dress
from rtlab.figures.labels import readable
from rtlab.figures.palette import color_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["comparison_figure"]


def comparison_figure(
    frame: pd.DataFrame, latencies: Mapping[str, NDArray[np.float64]], *, about: str
) -> Chart:
    """Draw a comparison of transports.

    Parameters
    ----------
    frame : pandas.DataFrame
        A row for each transport; columns ``connect_p50_ms``, ``push_bytes``, ``send_bytes``,
        ``client_cpu_ms`` and ``server_cpu_ms`` (CPU of 1,000 pushes).
    latencies : mapping of str to array
        Transport → milliseconds of each push.
    about : str
        How it was measured.

    Returns
    -------
    Chart
        A matplotlib `Figure` of four axes.
    """
    chart = Chart(11, 3.6, about=f"{', '.join(latencies)} compared: {about}")
    push, connect, wire, cpu = chart.subplots(1, 4, width_ratios=(2, 1, 1, 1))
    _draw_latency(push, latencies)
    _draw_bars(connect, frame, "Connect", "ms (median)", ("connect_p50_ms",))
    _draw_bars(wire, frame, "Bytes a message", "bytes on the wire", ("push_bytes", "send_bytes"))
    _draw_bars(cpu, frame, "CPU", "ms for 1,000 pushes", ("client_cpu_ms", "server_cpu_ms"))
    return chart


def _draw_latency(axes: Axes, latencies: Mapping[str, NDArray[np.float64]]) -> None:
    dress(axes, title="Server push, one way", xlabel="latency (ms)", ylabel="share of messages (%)")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for index, (name, taken) in enumerate(latencies.items()):
        values = np.sort(taken)
        values = values[~np.isnan(values) & (values > 0)]
        if values.size:
            share = np.arange(1, values.size + 1) / values.size * 100
            axes.step(values, share, where="post", color=color_of(name, index), label=name, linewidth=1.8)
    for q in (50, 95, 99):
        axes.axhline(q, color=FAINT, linewidth=0.6, linestyle=":")
    axes.legend(frameon=False, fontsize=9, loc="lower right")


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
        axes.bar_label(bars, fmt=readable, fontsize=7, color=FAINT)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    if len(columns) > 1:
        words = [column.partition("_")[0] for column in columns]
        axes.set_xlabel(f"full: {words[0]}; faint: {words[1]}", fontsize=8, color=FAINT)
