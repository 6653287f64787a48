"""Readings that are no number are left out, and the legend names each thing once."""

from __future__ import annotations

import math

from rtlab.figures.metrics_over_time import readings_figure


def test_what_is_no_number_is_not_drawn() -> None:
    chart = readings_figure(
        {"mean": [(0, 1.0), (1, math.nan), (2, 3.0)], "p99": [(0, math.nan)]}, [(0, 1), (2, 3)], limit=50
    )
    (axes,) = chart.axes
    mean, limit = axes.get_lines()
    assert list(mean.get_xdata()) == [0, 2]
    assert limit.get_ydata()[0] == 50
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["stopped", "mean", "limit, 50 ms"]


def test_no_reading_is_said_in_words() -> None:
    (axes,) = readings_figure({"mean": [(0, math.nan)], "p99": []}, [(0, 1)], limit=50).axes
    assert "Run its cell again" in axes.texts[0].get_text()
