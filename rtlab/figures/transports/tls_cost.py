"""Figure of the cost of TLS: time of the handshake, bytes of the exchange, and CPU time."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from rtlab.figures.chart_style.labels import readable
from rtlab.figures.chart_style.matplotlib_style import Chart, dress
from rtlab.figures.chart_style.palette import color_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["tls_cost_figure"]


def tls_cost_figure(frame: pd.DataFrame) -> Chart:
    """Draw the medians of full and resumed handshakes for each TLS version.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row for each version and kind of session; columns ``handshake_ms``, ``up_bytes``,
        ``down_bytes``, ``server_cpu_ms`` and ``client_cpu_ms``.

    Returns
    -------
    Chart
        A matplotlib `Figure`.
    """
    names = [" ".join(map(str, key)) for key in frame.index]
    chart = Chart(9, 3.4, about=f"the cost of TLS: {', '.join(names)}")
    columns = {
        "Handshake": ("handshake_ms", "ms (median)"),
        "Bytes of the exchange": ("bytes", "up and down"),
        "CPU, both ends": ("cpu_ms", "ms a connection"),
    }
    frame = frame.assign(
        bytes=frame["up_bytes"] + frame["down_bytes"],
        cpu_ms=frame["server_cpu_ms"] + frame["client_cpu_ms"],
    )
    for axes, (title, (column, label)) in zip(chart.subplots(1, 3), columns.items(), strict=True):
        dress(axes, title=title, ylabel=label)
        bars = axes.bar(range(len(names)), frame[column], color=[color_of("", i) for i in range(len(names))])
        axes.bar_label(bars, fmt=readable, fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    return chart
