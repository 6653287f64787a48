from __future__ import annotations

from rtlab.figures.throughput.compression import encoding_figure, fan_out_figure, memory_figure


def test_each_feed_has_a_panel_and_each_codec_a_bar_for_each_way():
    ways = {"plain": {"JSON": 170.0, "MessagePack": 136.0}, "alone": {"JSON": 134.0, "MessagePack": 133.0}}
    chart = encoding_figure({"ticks": ways, "chat": ways})
    first, second = chart.axes
    assert (first.get_title("left"), second.get_title("left")) == ("ticks", "chat")
    assert [patch.get_width() for patch in first.patches] == [170, 134, 136, 133]
    assert [label.get_text() for label in first.get_yticklabels()] == ["plain", "alone"]


def test_what_was_measured_stands_over_its_formula():
    (axes,) = memory_figure({"w15": 256.0, "w9": 130.0}, {"w9": 80, "w15": 105}, {"w9": 83, "w15": 212}).axes
    assert [patch.get_height() for patch in axes.patches] == [256, 130]
    assert [list(line.get_ydata()) for line in axes.lines] == [[105, 80], [212, 83]]


def test_a_bar_is_the_mean_of_the_rounds():
    (axes,) = fan_out_figure({"ticks": {"plain": [5, 7], "context": [20, 18, 22]}}).axes
    assert [patch.get_height() for patch in axes.patches] == [6, 20]
