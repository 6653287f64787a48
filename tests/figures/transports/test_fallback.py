"""Bars of what was tried, and marks of what arrived when."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false

from __future__ import annotations

import pytest

from rtlab.figures.transports.fallback import Arrival, Tried, race_figure, trials_figure


def test_bars_stand_behind_each_other_and_say_their_sum() -> None:
    tried = [Tried("websocket", 1.0, False), Tried("sse", 0.25, True)]
    chart = trials_figure(
        {"hangs": tried, "clean": [Tried("websocket", 0.02, True)]}, deadline=1.0, title="cost"
    )
    assert repr(chart) == "<Chart: cost: 2 networks>"
    axes = chart.axes[0]
    bars = [patch for patch in axes.patches if patch.get_width() > 0]
    assert [(bar.get_x(), bar.get_hatch()) for bar in bars[:2]] == [(0.0, "///"), (1.0, "")]
    assert [text.get_text() for text in axes.texts] == ["1.25 s", "0.02 s"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hangs", "clean"]


def test_a_race_has_a_dot_and_a_square_for_each_strategy() -> None:
    fared = {"best first": Arrival(0.2, 0.2, "websocket"), "surest first": Arrival(0.21, 0.8, "websocket")}
    chart = race_figure({"healthy": fared}, title="race")
    marks = [
        line for line in chart.axes[0].lines if line.get_marker() in ("o", "s") and len(line.get_xdata())
    ]
    assert [float(line.get_xdata()[0]) for line in marks] == pytest.approx([0.2, 0.2, 0.21, 0.8])
    assert chart.axes[0].texts[1].get_text() == "0.21 s, websocket 0.80 s"


def test_a_transport_that_never_came_is_said_so() -> None:
    chart = race_figure({"slow": {"best first": Arrival(0.2, float("nan"), "websocket")}}, title="race")
    assert chart.axes[0].texts[0].get_text() == "0.20 s, websocket never"
    assert chart.axes[0].get_xlim()[1] < 1
