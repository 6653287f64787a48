"""The style of the figures: texts are drawn as they were written."""

from __future__ import annotations

import pytest
from matplotlib.text import Text

from rtlab.figures.chart_style.matplotlib_style import Chart, dress, legend_label

#: Two dollar signs make a formula of matplotlib's; this one is malformed, and drawing it would raise.
DOLLARS = "costs $5_{ and $6"


def shown(chart: Chart) -> dict[str, bool]:
    """Draw a chart, and return for each of its texts whether it may be a formula."""
    assert chart.png(1.0)
    texts = [text for text in chart.findobj(Text) if text.get_visible() and text.get_text()]
    return {text.get_text(): text.get_parse_math() for text in texts}


def test_a_dollar_begins_no_formula_in_any_text_of_a_figure() -> None:
    chart = Chart()
    axes = dress(chart.add_subplot(), title=f"title {DOLLARS}", xlabel=f"x {DOLLARS}", ylabel=f"y {DOLLARS}")
    axes.plot([0, 1], [0, 1], label=f"legend {DOLLARS}")
    axes.text(0, 0, f"text {DOLLARS}")
    axes.annotate(f"note {DOLLARS}", (0, 0))
    axes.set_xticks([0, 1], [f"tick {DOLLARS}", "another"])
    axes.legend()
    chart.suptitle(f"above {DOLLARS}")
    found = shown(chart)
    names = ("title", "x", "y", "legend", "text", "note", "tick", "above")
    assert [found[f"{name} {DOLLARS}"] for name in names] == [False] * len(names)


def test_a_dollar_begins_no_formula_in_a_category() -> None:
    chart = Chart()
    chart.add_subplot().scatter([DOLLARS, "b"], [1, 2])
    assert shown(chart)[DOLLARS] is False


@pytest.mark.parametrize("scale", ["log", "symlog"])
def test_powers_of_ten_on_an_axis_remain_formulas(scale: str) -> None:
    chart = Chart()
    axes = chart.add_subplot()
    axes.plot([1, 1e6], [0, 1])
    axes.set_xscale(scale)
    powers = {text: formula for text, formula in shown(chart).items() if "10^" in text}
    assert powers
    assert all(powers.values())


def test_a_name_that_begins_with_an_underscore_is_in_the_legend() -> None:
    axes = Chart().add_subplot()
    axes.plot([0, 1], label=legend_label("_echo"))
    assert axes.get_legend_handles_labels()[1] == [" _echo"]
