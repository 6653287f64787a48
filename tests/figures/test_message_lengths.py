from __future__ import annotations

from rtlab.figures.message_lengths import guesses_figure, lengths_figure


def test_the_shortest_guess_is_told_apart_where_there_is_one() -> None:
    figure = guesses_figure(
        {"together": {"a": 68, "b": 67, "c": 68}, "apart": {"a": 80, "b": 80, "c": 80}}, title="guesses"
    )
    assert (
        repr(figure)
        == "<Chart: bytes on the wire of each guess, together: b is the shortest; apart: all alike>"
    )
    colors = [{tuple(color) for color in axes.collections[0].get_facecolors()} for axes in figure.axes]
    assert [len(found) for found in colors] == [2, 1]
    assert figure.png()


def test_each_way_of_sending_has_a_staircase() -> None:
    figure = lengths_figure([1, 63, 64], {"plain": [1, 63, 64], "sealed": [64, 64, 128]}, title="lengths")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["plain", "sealed"]
    assert figure.png()
