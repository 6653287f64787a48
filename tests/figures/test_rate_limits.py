from __future__ import annotations

from rtlab.figures.rate_limits import admitted_figure


def test_each_rule_has_a_staircase_and_the_bound_a_line() -> None:
    figure = admitted_figure(
        {"window": [0.0, 0.1], "bucket": [0.0]}, rate=5, burst=2, offered=[0.0, 0.1, 0.2], title="rules"
    )
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["window", "bucket", "the bound: 2 + 5/s · t"]
    assert figure.png()


def test_nothing_offered_is_said_in_words() -> None:
    (axes,) = admitted_figure({"bucket": []}, rate=1, burst=1, offered=[]).axes
    assert "no samples" in axes.texts[0].get_text()
