from __future__ import annotations

from rtlab.figures.throughput.ordering import overtakes_figure, release_figure


def test_each_member_and_the_buffer_have_a_line_of_their_own():
    arrivals = {"near": [(1, 10.0)], "far": [(0, 60.0)]}
    (axes,) = release_figure(arrivals, [(0, 60.0), (1, 60.0)], "round robin").axes
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines] == [
        ([10], [1]),
        ([60], [0]),
        ([60, 60], [0, 1]),
    ]


def test_what_was_measured_stands_over_the_law():
    (axes,) = overtakes_figure({40: 2.0, 80: 4.5}, lambda delay: delay / 20).axes
    law, measured = axes.lines
    assert list(measured.get_ydata()) == [2, 4.5]
    assert law.get_ydata()[-1] == 1.1 * 80 / 20


def test_nothing_that_came_is_said_in_words() -> None:
    for chart in (release_figure({"a": []}, [], "order"), overtakes_figure({}, lambda delay: delay)):
        assert "no samples" in chart.axes[0].texts[0].get_text()
        assert chart.png(1.0)
