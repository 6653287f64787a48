"""Delays by message number, and towers with the model's line."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtlab.figures.transports.delays_after_loss import delays_figure, towers_figure


def test_a_row_for_each_channel_and_a_cross_for_each_message_that_is_missing() -> None:
    runs = {
        "ordered": np.array([[0, 0.0], [1, 0.1], [2, 0.09], [3, 0.0]]),
        "lossy": np.array([[0, 0.0], [3, 0.0]]),
    }
    chart = delays_figure(runs, title="four messages")
    assert repr(chart) == "<Chart: four messages: delay by message number of ordered, lossy>"
    titles = [axes.get_title(loc="left") for axes in chart.axes]
    assert titles == ["ordered: 4 came", "lossy: 2 came, 2 did not (×)"]
    crosses: Any = chart.axes[1].lines[-1]
    assert list(crosses.get_xdata()) == [1, 2]
    assert [axes.get_ylim() for axes in chart.axes] == [pytest.approx((-6, 106))] * 2


def test_no_message_at_all_is_an_empty_row() -> None:
    (axes,) = delays_figure({"dead": np.empty((0, 2))}).axes
    assert axes.get_title(loc="left") == "dead: 0 came"
    assert "Run its cell again" in axes.texts[0].get_text()


def test_what_was_under_way_when_a_run_was_stopped_is_not_called_lost() -> None:
    run = np.array([[0, 0.0], [2, 0.0], [4, 0.0], [6, 0.0]])
    (axes,) = delays_figure({"lossy": run}, under_way=3).axes
    assert list(axes.lines[-1].get_xdata()) == [1, 3]
    assert axes.get_title(loc="left") == "lossy: 4 came, 2 did not (×)"


def test_towers_and_the_line_fall_by_a_gap_for_each_message() -> None:
    chart = towers_figure({"loss": [np.array([0.1, 0.09]), np.array([0.1])]}, {"loss": (0.1, 0.01)})
    (axes,) = chart.axes
    assert len(axes.lines) == 3
    model: Any = axes.lines[-1]
    assert list(model.get_ydata())[:2] == pytest.approx([100, 90])
    assert list(model.get_ydata())[-1] == pytest.approx(0)
