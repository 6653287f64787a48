"""Both figures say what they show."""

from __future__ import annotations

from rtlab.figures.delivery import account_figure, window_throughput_figure


def test_each_way_of_sending_is_a_bar_with_its_counts():
    accounts = {
        "first": {"received": 30, "duplicates": 0, "lost": 20},
        "second": {"received": 50, "duplicates": 10, "lost": 0},
    }
    chart = account_figure(accounts, title="Fifty")
    (axes,) = chart.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert sorted(text.get_text() for text in axes.texts) == ["10", "20", "30", "50"]
    assert chart.png().startswith(b"\x89PNG")


def test_the_law_lies_over_the_measured_rates():
    chart = window_throughput_figure({1: 9.5, 5: 48.0, 40: 380.0}, 0.1, title="Windows")
    (axes,) = chart.axes
    law, measured = axes.lines
    assert (law.get_ydata()[0], law.get_ydata()[-1]) == (10.0, 400.0)
    assert list(measured.get_ydata()) == [9.5, 48.0, 380.0]


def test_no_window_measured_is_said_in_words() -> None:
    (axes,) = window_throughput_figure({}, 0.02).axes
    assert "no samples" in axes.texts[0].get_text()
