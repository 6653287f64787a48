"""The sequence diagram: every message, on its row, in its direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtlab.figures.chart_style.matplotlib_style import Chart
from rtlab.figures.diagrams.sequence_diagram import Arrow, Stage, sequence_figure
from rtlab.figures.diagrams.state_diagram import state_figure


def test_every_message_is_drawn_from_its_lane_to_its_lane() -> None:
    arrows = [Arrow("client", "server", "offer", 0.0), Arrow("server", "client", "answer", 0.012, "green")]
    axes = sequence_figure(["client", "server"], arrows, title="hello").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if text] == ["client", "server", "0 ms", "offer", "12 ms", "answer"]
    drawn: list[Any] = [text for text in axes.texts if hasattr(text, "xyann")]
    ends = [(arrow.xyann, arrow.xy) for arrow in drawn]
    assert ends == [((0.0, 0), (1.0, 0)), ((1.0, 1), (0.0, 1))]


def test_a_note_has_no_arrow() -> None:
    axes = sequence_figure(["a", "b"], [Arrow("a", "a", "thinks")]).axes[0]
    assert not [a for a in axes.texts if hasattr(a, "xyann")]


def test_an_arrow_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="out of a, b, got c"):
        sequence_figure(["a", "b"], [Arrow("a", "c", "?")])


def test_a_stage_stands_beside_its_rows() -> None:
    arrows = [Arrow("a", "b", str(n)) for n in range(4)]
    axes = sequence_figure(["a", "b"], arrows, stages=[Stage("ask", 1, 2)]).axes[0]
    (text,) = [text for text in axes.texts if text.get_text() == "ask"]
    assert text.get_position()[1] == 1.5
    assert text.get_position()[0] > 1
    heights = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    assert [0.65, 0.65, 2.35, 2.35] in heights


@pytest.mark.parametrize(
    "chart",
    [sequence_figure(["a", "b"], [Arrow("a", "b", "hello"), Arrow("a", "a", "thinks")]), state_figure()],
    ids=["sequence", "states"],
)
def test_no_label_is_a_bright_box_on_a_dark_page(chart: Chart) -> None:
    boxes = [box for text in chart.axes[0].texts if (box := text.get_bbox_patch()) is not None]
    assert boxes
    assert all(max(box.get_facecolor()[:3]) < 0.5 for box in boxes)
