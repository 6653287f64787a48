from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.figures.chart_style.matplotlib_style import Chart
from rtlab.figures.chart_style.palette import PALETTE
from rtlab.figures.latency_over_time import latency_figure, trailing_percentiles
from rtlab.measure.recorder import Recorder


def a_run() -> Recorder:
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(500):
        at = n / 100
        recorder.record("websocket", ts=at, sent=at + 1e-4, received=at + 5e-4)
        recorder.record("sse", ts=at, sent=at + 9e-4, received=at + 1e-3)
    recorder.mark("connected", at=0.5)
    recorder.mark("fault", "latency 20 ms, " + "x" * 40, at=2.0)
    recorder.loop_lag.note(3.0, 3.1)
    return recorder


@pytest.mark.parametrize("mode", ["latency", "transit", "lateness"])
@pytest.mark.parametrize("log_y", [False, True])
def test_axes_have_names_and_units_and_the_projects_colours(mode: str, log_y: bool) -> None:
    figure = latency_figure(a_run(), mode=mode, log_y=log_y, title="Run")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "time since start (s)"
    assert axes.get_ylabel().endswith("(ms)")
    colors = {line.get_color() for line in axes.lines}
    assert {PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["grey"]} <= colors
    assert figure.png(1.0).startswith(b"\x89PNG")


def test_the_legend_tells_percentiles_late_moments_and_lateness() -> None:
    (legend,) = latency_figure(a_run()).legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert any(text.startswith("websocket  whole run, n = 500\np50  0.5 ms") for text in texts)
    assert texts.count("mostly schedule lateness") == 1
    assert "kernel's loop was late (×)" in texts


def test_a_few_samples_are_large_points_without_lines_of_percentiles() -> None:
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(4):
        recorder.record("sse", ts=n, sent=n, received=n + 1e-3 * (n + 1))
    figure = latency_figure(recorder)
    (axes,), (legend,) = figure.axes, figure.legends
    assert not axes.lines
    assert min(axes.collections[0].get_sizes()) >= 40
    assert [text.get_text() for text in legend.get_texts()] == [
        "sse  whole run, n = 4\nmedian  2.5 ms\nhighest  4 ms"
    ]


def test_a_late_loop_after_the_last_sample_does_not_widen_the_axis() -> None:
    recorder = a_run()
    recorder.loop_lag.note(60.0, 60.1)
    figure = latency_figure(recorder)
    assert figure.axes[0].get_xlim()[1] < 10
    assert "kernel's loop was late (×)" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_last_second_is_shown_with_its_events_and_the_percentiles_of_all() -> None:
    recorder = a_run()
    recorder.mark("disconnected", "closed by its owner", at=5.2)
    figure = latency_figure(recorder, last=1)
    (axes,), (legend,) = figure.axes, figure.legends
    low, high = axes.get_xlim()
    assert (low, high) == (pytest.approx(3.99, abs=0.01), pytest.approx(5.25, abs=0.01))
    assert [text.get_text() for text in axes.texts] == ["closed by its owner"]
    assert any("whole run, n = 500" in text.get_text() for text in legend.get_texts())
    whole, all_of_it = latency_figure(recorder).axes[0], latency_figure(recorder, last=60).axes[0]
    assert whole.get_xlim() == all_of_it.get_xlim()


def test_texts_of_crowded_events_never_cover_each_other_and_each_kind_is_named_once() -> None:
    recorder = a_run()
    for n in range(40):
        recorder.mark("reconnecting", f"attempt {n} refused", at=2.5 + n / 40)
    figure = latency_figure(recorder)
    figure.png(1.0)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 5
    assert all(right.x0 >= left.x1 for left, right in pairwise(sorted(boxes, key=lambda box: box.x0)))
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert [texts.count(kind) for kind in ("connected", "fault", "reconnecting")] == [1, 1, 1]


def test_the_text_of_a_cut_leaves_what_it_delays_in_sight() -> None:
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(500):
        at = n / 100
        recorder.record("sse", ts=at, sent=at, received=3.4 if 300 <= n < 340 else at + 1e-3)
    recorder.mark("disconnected", "sse: the connection was reset", at=3.0)
    recorder.mark("disconnected", "sse: closed by its owner", at=5.0)
    figure = latency_figure(recorder, mode="transit", order="intended")
    figure.png(1.0)
    (axes,) = figure.axes
    cut, closed = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.x0)
    assert cut.x1 <= axes.transData.transform((3.0, 0))[0]
    assert closed.x0 >= axes.transData.transform((5.0, 0))[0]  # behind the last sample


def test_the_text_of_an_event_at_the_very_start_stays_inside() -> None:
    recorder = a_run()
    recorder.marks.clear()
    recorder.mark("fault", "latency 20 ms", at=-0.2)
    figure = latency_figure(recorder)
    figure.png(1.0)
    (axes,) = figure.axes
    (text,) = axes.texts
    assert text.get_window_extent().x0 >= axes.get_window_extent().x0


def test_what_a_kind_of_event_said_last_is_not_said_again() -> None:
    recorder = a_run()
    recorder.marks.clear()
    for at in (1.0, 3.0):
        recorder.mark("disconnected", "a poll failed", at=at)
        recorder.mark("connected", "longpoll", at=at + 1)
    recorder.mark("disconnected", "closed by its owner", at=4.6)
    texts = [text.get_text() for text in latency_figure(recorder).axes[0].texts]
    assert texts == ["a poll failed", "longpoll", "closed by its owner"]


def test_one_series_can_be_chosen_and_a_stranger_is_refused() -> None:
    figure = latency_figure(a_run(), series=["sse"])
    assert PALETTE["blue"] not in {line.get_color() for line in figure.axes[0].lines}
    with pytest.raises(ValueError, match="no series webrtc: the recorder has websocket, sse"):
        latency_figure(a_run(), series=["webrtc"])
    with pytest.raises(ValueError, match="mode is"):
        latency_figure(a_run(), mode="speed")


def test_nothing_to_draw_is_said_in_words() -> None:
    recorder = Recorder(clock=lambda: 0.0)
    assert "Run its cell again" in latency_figure(recorder).axes[0].texts[0].get_text()
    recorder.add_series("far", no_clock="another machine")
    recorder.record("far", ts=9.0, received=1.0)
    figure = latency_figure(recorder, log_y=True)
    assert figure.axes[0].texts[0].get_text() == "another machine"
    figure.png(1.0)


def test_a_chart_shows_itself_sharply_and_always_with_the_same_words() -> None:
    chart = Chart(4, 2, about="nothing")
    data, metadata = chart._repr_mimebundle_()
    assert data["text/plain"] == "<Chart: nothing>"
    width, height = struct.unpack(">II", data["image/png"][16:24])
    assert metadata["image/png"]["width"] * 2 == width == 768
    assert metadata["image/png"]["height"] * 2 == height


def test_figures_leave_no_global_state() -> None:
    import sys

    latency_figure(a_run()).png(1.0)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=80), st.integers(1, 20))
def test_trailing_percentiles_look_back_and_not_ahead(values: list[float], readings: int) -> None:
    times = np.arange(len(values)) * 0.1
    at, found = trailing_percentiles(times, np.array(values), (50, 100), span=1.0, readings=readings)
    assert len(at) == len(found) == min(readings, len(values))
    for moment, (_, top) in zip(at, found, strict=True):
        inside = [v for t, v in zip(times, values, strict=True) if moment - 1.0 <= t <= moment]
        assert top == pytest.approx(max(inside))


def test_a_gap_interrupts_the_lines() -> None:
    times = np.concatenate([np.arange(0, 1, 0.01), np.arange(5, 6, 0.01)])
    at, found = trailing_percentiles(times, np.ones(len(times)))
    assert np.isnan(found[(at > 1.3) & (at < 4.9)]).all()
    assert not np.isnan(found[at < 1.0]).any()


def test_no_samples_no_readings() -> None:
    at, found = trailing_percentiles(np.empty(0), np.empty(0))
    assert (at.shape, found.shape) == ((0,), (0, 3))


def test_by_intended_time_a_stall_is_a_falling_line():
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(10):  # ten messages, one every 0.1 s, all held until 1 s
        recorder.record("s", ts=n / 10, sent=n / 10, received=1.0)
    axes = latency_figure(recorder, order="intended").axes[0]
    (points,) = [np.asarray(c.get_offsets()) for c in axes.collections if len(c.get_offsets()) == 10]
    assert points[:, 0] == pytest.approx(np.arange(10) / 10)
    assert points[:, 1] == pytest.approx(1000 - 100 * np.arange(10))
    assert axes.get_xlabel() == "intended send time (s)"
    with pytest.raises(ValueError, match="order is"):
        latency_figure(recorder, order="sent")


def test_a_series_whose_name_begins_with_an_underscore_is_in_the_legend() -> None:
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(40):
        recorder.record("_echo", ts=n / 10, sent=n / 10, received=n / 10 + 1e-3)
    recorder.mark("_mine", at=1.0)
    (legend,) = latency_figure(recorder).legends
    texts = [text.get_text().strip() for text in legend.get_texts()]
    assert any(text.startswith("_echo  whole run") for text in texts)
    assert "_mine" in texts


@pytest.mark.parametrize("lateness", [0.0, -0.5])
def test_a_logarithmic_axis_without_a_number_above_zero_says_so(lateness: float) -> None:
    recorder = Recorder(clock=lambda: 0.0)
    for n in range(40):
        recorder.record("echo", ts=n / 10, sent=n / 10 + lateness, received=n / 10 + 1e-3)
    figure = latency_figure(recorder, mode="lateness", log_y=True)
    assert figure.png(1.0)
    assert ["above zero" in text.get_text() for text in figure.axes[0].texts] == [True]
    assert not latency_figure(recorder, mode="lateness").axes[0].texts
