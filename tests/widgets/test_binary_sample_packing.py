from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtlab.measure.recorder import Recorder
from rtlab.widgets.binary_sample_packing import POINT, Packer, fell_silent, running_percentiles


def at_zero(**options: Any) -> Recorder:
    return Recorder(clock=lambda: 0.0, **options)


def points(packed: tuple[dict[str, Any], memoryview]) -> np.ndarray:
    return np.frombuffer(packed[1], POINT)


def statistics_of(packer: Packer, now: float) -> dict[str, Any]:
    packer.pack(now)
    return packer.statistics(now)


def test_a_point_holds_what_the_recorder_knows() -> None:
    recorder = at_zero()
    recorder.record("sse", ts=1.0, sent=1.001, received=1.003)
    recorder.record("websocket", ts=2.0, sent=2.001, received=2.002)
    recorder.loop_lag.note(1.99, 2.0019)
    header, raw = Packer(recorder, window=10.0).pack(now=2.5)
    first, second = np.frombuffer(raw, POINT)
    assert first["t"] == pytest.approx(1.003)
    assert first["latency"] == pytest.approx(3.0, abs=1e-4)
    assert first["lateness"] == pytest.approx(1.0, abs=1e-4)
    assert (first["series"], first["late"]) == (0, 0)
    assert (second["series"], second["late"]) == (1, 1)
    assert [s["color"] for s in header["series"]] == ["#E69F00", "#0072B2"]
    assert header["now"] == 2.5
    assert header["late"] == [[1.99, 2.0019]]


def test_each_sample_mark_and_stretch_travels_once() -> None:
    recorder = at_zero()
    packer = Packer(recorder, window=10.0)
    recorder.record("s", ts=0.0, received=0.1)
    recorder.mark("connected", at=0.1)
    recorder.loop_lag.note(0.1, 0.2)
    first = packer.pack(now=0.3)
    recorder.record("s", ts=0.0, received=0.4)
    recorder.mark("fault", "latency", at=0.4)
    recorder.loop_lag.note(0.4, 0.5)
    second = packer.pack(now=0.6)
    assert [len(points(p)) for p in (first, second)] == [1, 1]
    assert [m[1] for m in first[0]["marks"]] == ["connected"]
    assert [m[:3] for m in second[0]["marks"]] == [[0.4, "fault", "latency"]]
    assert (first[0]["late"], second[0]["late"]) == ([[0.1, 0.2]], [[0.4, 0.5]])
    assert not packer.pending
    packer.rewind()
    again = packer.pack(now=0.6)
    assert len(points(again)) == 2
    assert len(again[0]["marks"]) == 2
    assert [header["marked"] for header, _ in (first, second, again)] == [1, 2, 2]


@settings(max_examples=40)
@given(st.integers(0, 3000), st.integers(100, 500))
def test_a_window_is_thinned_and_keeps_the_highest_of_every_series(count: int, max_points: int) -> None:
    recorder = at_zero()
    rng = np.random.default_rng(count)
    for n in range(count):
        latency = rng.exponential(1e-3)
        recorder.record(f"s{n % 3}", ts=n / 1000 - latency, received=n / 1000)
    header, raw = Packer(recorder, window=10.0, max_points=max_points).pack(now=5.0)
    drawn = np.frombuffer(raw, POINT)
    assert len(drawn) <= max_points + 6
    if count <= max_points:
        assert len(drawn) == count
    frame = recorder.to_frame()
    for index in range(min(3, count)):
        highest = frame["latency_ms"][frame["series"] == f"s{index}"].max()
        assert drawn["latency"][drawn["series"] == index].max() == pytest.approx(highest, rel=1e-5)
    assert header["total"] == count
    assert np.all(np.diff(drawn["t"]) >= 0)


def test_series_that_alternate_are_drawn_alike() -> None:
    recorder = at_zero()
    for n in range(4000):
        recorder.record("odd" if n % 2 else "even", ts=0.0, received=n / 1000)
    drawn = points(Packer(recorder, window=10.0, max_points=1000).pack(now=4.0))
    counts = np.bincount(drawn["series"])
    assert abs(int(counts[0]) - int(counts[1])) <= 2


def test_what_left_the_window_is_not_sent() -> None:
    recorder = at_zero()
    for n in range(100):
        recorder.record("s", ts=0.0, received=float(n))
    assert points(Packer(recorder, window=10.0).pack(now=99.0))["t"].tolist() == list(range(89, 100))


@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e4)), max_size=60))
def test_running_percentiles_are_of_the_numbers_only(values: list[float]) -> None:
    numbers = sorted(v for v in values if not math.isnan(v))
    found = running_percentiles(np.array(values))
    if not numbers:
        assert found is None
        return
    assert found == sorted(found or [])
    # What the static figure's lines and legend say of the same samples.
    assert found == pytest.approx(np.percentile(numbers, (50, 95, 99)), abs=1e-4)


def test_statistics_rank_all_samples_of_two_seconds_at_most_five_times_a_second() -> None:
    recorder = at_zero()
    packer = Packer(recorder, window=10.0)
    for n in range(1001):
        recorder.record("s", ts=n / 100 - n * 1e-6, received=n / 100)
    (stats,) = statistics_of(packer, 10.0)["stats"]
    assert stats["n"] == 201
    assert stats["rate"] == 100.0
    assert stats["latency"] == pytest.approx([0.9, 0.99, 0.998], abs=1e-3)
    assert stats["transit"] is None  # nobody knew when it was really sent
    assert statistics_of(packer, 10.1) == {}
    assert statistics_of(packer, 10.21)["stats"]


def test_without_a_common_clock_there_is_a_reason_and_no_number() -> None:
    recorder = at_zero()
    recorder.add_series("far", no_clock="another machine")
    recorder.record("far", ts=500.0, received=1.0)
    header, raw = Packer(recorder, window=10.0).pack(now=1.0)
    assert header["series"][0]["note"] == "another machine"
    assert math.isnan(np.frombuffer(raw, POINT)["latency"][0])


def test_an_empty_recorder_packs_an_empty_batch() -> None:
    packer = Packer(at_zero(), window=10.0)
    header, raw = packer.pack(now=0.0)
    assert (len(raw), header["series"], packer.statistics(0.0)["stats"]) == (0, [], [])


def test_packing_does_not_depend_on_how_long_the_run_was() -> None:
    import time

    recorder = at_zero(max_samples=1_000_000)
    for n in range(300_000):
        recorder.record("s", ts=n / 1000, received=n / 1000)
    packer = Packer(recorder, window=10.0)
    statistics_of(packer, 300.0)
    best = math.inf
    for n in range(20):
        for k in range(67):
            recorder.record("s", ts=300 + n / 15, received=300 + n / 15 + k / 1000)
        start = time.process_time()  # others' work on this machine does not count
        statistics_of(packer, 300 + n / 15 + 0.067)
        best = min(best, time.process_time() - start)
    assert best < 2e-3


def test_percentiles_begin_with_the_twentieth_sample_of_a_series() -> None:
    recorder = at_zero()
    packer = Packer(recorder, window=10.0)
    found: list[bool] = []
    for n in range(25):
        for name in ("s", "few") if n % 2 else ("s",):
            recorder.record(name, ts=n / 4, received=n / 4 + 0.001)
        (stats, *_) = statistics_of(packer, n / 4 + 0.001)["stats"]
        found.append(stats["latency"] is not None)
    assert found == [False] * 19 + [True] * 6
    packer.rewind()
    several, few = statistics_of(packer, 6.001)["stats"]
    assert several["latency"] is not None
    assert few["n"]
    assert few["latency"] is None


def test_percentiles_end_where_nothing_arrives() -> None:
    recorder = at_zero()
    for n in range(100):
        recorder.record("s", ts=n / 100, received=n / 100 + 0.001)
    packer = Packer(recorder, window=10.0)
    (live,) = statistics_of(packer, 1.0)["stats"]
    (silent,) = statistics_of(packer, 1.5)["stats"]
    assert live["latency"] == [1.0, 1.0, 1.0]
    assert (silent["latency"], silent["rate"]) == (None, None)


def test_a_slow_series_is_not_taken_for_a_silent_one() -> None:
    assert not fell_silent(np.array([0.0, 0.5, 1.0]), now=2.0)
    assert fell_silent(np.array([0.0, 0.5, 1.0]), now=4.0)
    assert fell_silent(np.array([]), now=0.0)


def test_a_page_that_comes_late_gets_the_readings_of_all_its_window() -> None:
    recorder = at_zero()
    received = np.arange(300) / 100
    for at in received:
        recorder.record("s", ts=at - 1e-3, received=at)
    packer = Packer(recorder, window=2.0)
    earlier = statistics_of(packer, 2.985)["earlier"]
    assert [at for at, _ in earlier] == pytest.approx([0.985 + n / 5 for n in range(10)])
    for at, (stats,) in earlier:
        assert stats["n"] == np.sum((received >= at - 2) & (received <= at))
        assert stats["latency"] == pytest.approx([1, 1, 1])
    assert statistics_of(packer, 3.2)["earlier"] == []  # who keeps up misses nothing
    assert [at for at, _ in statistics_of(packer, 3.95)["earlier"]] == pytest.approx([3.4, 3.6, 3.8])
