"""The drawing of polls: each arrow from its time to its time."""

from __future__ import annotations

import pytest

from rtlab.capture.http_exchanges import Exchange
from rtlab.figures.long_polls import polls_figure


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
