"""Notebook widgets, which talk to the browser: the live plot, the fault panel, the prediction and others.

Imports the recorder and the figures below it. A widget never measures anything itself, and never sends
samples as synchronised widget state.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rtlab.figures.chart_style.matplotlib_style import Chart
    from rtlab.figures.latency_over_time import latency_figure
    from rtlab.widgets.live_latency_plot import LatencyPlot
    from rtlab.widgets.verdicts.predict import Predict

__all__ = ["Chart", "LatencyPlot", "Predict", "latency_figure"]

# Imported on first use: a figure needs matplotlib, a widget does not.
_HOMES: Final = {
    "Chart": "rtlab.figures.chart_style.matplotlib_style",
    "LatencyPlot": "rtlab.widgets.live_latency_plot",
    "Predict": "rtlab.widgets.verdicts.predict",
    "latency_figure": "rtlab.figures.latency_over_time",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
