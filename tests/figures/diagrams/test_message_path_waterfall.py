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
