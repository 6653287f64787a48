"""A path's parts are drawn below each other, in their order."""

from __future__ import annotations

from rtlab.figures.diagrams.message_path_waterfall import Leg, way_figure


def test_each_leg_begins_where_its_first_stamp_is() -> None:
    chart = way_figure(
        [Leg("there", [0, 0, 0], [0.001, 0.002, 0.009]), Leg("back", [0.002] * 3, [0.004] * 3)]
    )
    (axes,) = chart.axes
    bars = [(bar.get_x(), round(bar.get_width(), 6)) for bar in axes.patches]
    assert bars == [(0, 2), (2, 2)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["there", "back"]
    assert axes.get_xlim()[1] > 7  # nine of ten


def test_a_leg_that_no_message_passed_has_an_empty_row() -> None:
    (axes,) = way_figure([Leg("a", [0.0], [0.1]), Leg("b", [], [])]).axes
    assert len(axes.patches) == 1
    for legs in ([], [Leg("a", [], [])]):
        (axes,) = way_figure(legs).axes
        assert "no samples" in axes.texts[0].get_text()
