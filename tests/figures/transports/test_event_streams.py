from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtlab.figures.transports.event_streams import arrivals_figure, event_bytes_figure
from rtlab.models.framing_overhead import sse_overhead_bytes


def test_what_an_event_adds_lies_on_its_models_curve():
    data = np.array([100, 1000, 10_000])
    added = sse_overhead_bytes(data, event_bytes=4, id_bytes=24)
    chart: Any = event_bytes_figure(data, added, event_bytes=4, id_bytes=24, title="added")
    axes = chart.axes[0]
    model, bare, measured = axes.get_lines()
    assert np.interp(1000, *model.get_data()) == pytest.approx(added[1], abs=1)
    assert max(bare.get_ydata()) < min(model.get_ydata())
    assert list(measured.get_ydata()) == list(added)
    assert axes.get_ylim()[1] > max(added)
    assert chart.about == "added: model and 3 measurements"


def test_each_run_is_drawn_over_its_own_start():
    sent = np.array([5.0, 5.1])
    chart: Any = arrivals_figure({"direct": (sent, sent + 0.01), "buffered": (sent, sent + 0.2)}, title="t")
    direct, buffered = chart.axes[0].get_lines()
    assert direct.get_xdata() == pytest.approx([0, 0.1])
    assert direct.get_ydata() == pytest.approx([10, 10])
    assert buffered.get_ydata() == pytest.approx([200, 200])
    assert chart.about == "t: direct, buffered"


def test_a_stream_without_an_event_is_drawn_empty_and_said_in_words_if_no_other_has_one() -> None:
    nothing, some = np.empty(0), np.array([1.0, 2.0])
    assert not arrivals_figure({"a": (nothing, nothing), "b": (some, some + 0.1)}).axes[0].texts
    assert "no samples" in arrivals_figure({"a": (nothing, nothing)}).axes[0].texts[0].get_text()
    none = np.empty(0, dtype=int)
    assert event_bytes_figure(none, none, event_bytes=4, id_bytes=2).png(1.0)
