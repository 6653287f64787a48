"""The drawing of polls: each arrow from its time to its time."""

from __future__ import annotations

import pytest

from rtlab.capture.captured_http_exchanges import Exchange
from rtlab.figures.transports.long_polls import WaitPoint, polls_figure, wait_figure


def poll(asked: float, answered: float) -> Exchange:
    return Exchange("/poll", {}, asked, answered, 200, b"")


def test_arrows_run_from_when_it_left_to_when_it_came() -> None:
    client, server = [poll(9.0, 10.1), poll(10.1, 10.4)], [poll(9.1, 10.0), poll(10.2, 10.3)]
    chart = polls_figure(client, server, {"n = 0": 10.0, "n = 1": 10.01}, title="two")
    assert repr(chart) == "<Chart: two: 2 polls, 2 messages>"
    arrows = [(a.xyann, a.xy) for a in chart.axes[0].texts if getattr(a, "arrow_patch", None) is not None]
    expected = [((0, 0.0), (1, 100.0)), ((1, 100.0), (0, 200.0)), ((0, 300.0), (1, 400.0))]
    for arrow, wanted in zip(arrows, expected, strict=True):  # the first request was long before
        assert [*arrow[0], *arrow[1]] == pytest.approx([*wanted[0], *wanted[1]], abs=1e-6)


def test_both_ends_must_have_seen_the_same() -> None:
    with pytest.raises(ValueError, match="got 1 and 0"):
        polls_figure([poll(0, 1)], [], {})


def test_answers_and_brackets_are_labelled() -> None:
    client, server = [poll(9.0, 10.1), poll(10.1, 10.4)], [poll(9.1, 10.0), poll(10.2, 10.3)]
    waits = {"n = 1:\n3.9 transits": (10.01, 10.4)}
    chart = polls_figure(client, server, {"n = 1": 10.01}, carried=["empty", "n = 1"], waits=waits)
    texts = {text.get_text() for text in chart.axes[0].texts}
    assert {"empty", "n = 1", "n = 1:\n3.9 transits"} <= texts
    bracket = chart.axes[0].lines[-1].get_ydata()
    assert [min(bracket), max(bracket)] == pytest.approx([10, 400])  # pyright: ignore[reportArgumentType]


def test_a_path_has_one_mark_and_each_point_its_interval() -> None:
    points = [WaitPoint(0.2, 0.1, (0.05, 0.2), "near"), WaitPoint(2, 0.4, (0.3, 0.45), "near")]
    chart = wait_figure([*points, WaitPoint(1, 0.3, (0.2, 0.4), "far")], title="waits")
    assert repr(chart) == "<Chart: waits: model and 3 measurements>"
    near, far = chart.axes[0].containers
    assert [near.get_label(), far.get_label()] == ["measured, near", "measured, far"]
