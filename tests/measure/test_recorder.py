from __future__ import annotations

import asyncio
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.client.event_emitter import Connected, Disconnected, Emitter, ErrorEvent, Reconnecting
from rtlab.errors import InvalidState
from rtlab.measure.attach_recorder import clock_problem
from rtlab.measure.event_loop_lag import LoopLag
from rtlab.measure.recorder import COLUMNS, Recorder
from rtlab.processes.monotonic_clock_boot_id import boot_id
from rtlab.protocol.message_format import Message

seconds = st.floats(0, 1e6, allow_nan=False)
samples = st.lists(
    st.tuples(
        st.sampled_from(["websocket", "sse", "mine"]), seconds, seconds, seconds, st.integers(0, 2**32 - 1)
    ),
    max_size=60,
)


def at_zero(**options: object) -> Recorder:
    return Recorder(clock=lambda: 0.0, **options)  # pyright: ignore[reportArgumentType]


# Samples


def test_a_sample_becomes_one_row_with_documented_columns() -> None:
    recorder = at_zero()
    recorder.record("websocket", ts=1.0, sent=1.0005, size=64, received=1.002)
    frame = recorder.to_frame()
    assert list(frame.columns) == list(COLUMNS)
    row = frame.iloc[0]
    assert row["t_s"] == pytest.approx(1.002)
    assert row["series"] == "websocket"
    assert row["latency_ms"] == pytest.approx(2.0)
    assert row["lateness_ms"] == pytest.approx(0.5)
    assert row["transit_ms"] == pytest.approx(1.5)
    assert row["size_bytes"] == 64
    assert not row["loop_late"]


@given(samples, st.integers(1, 9), st.integers(1, 40))
def test_the_newest_samples_are_kept_and_the_rest_is_counted(
    rows: list[tuple], capacity: int, limit: int
) -> None:
    recorder = at_zero(capacity=capacity, max_samples=limit)
    for series, ts, sent, received, size in rows:
        recorder.record(series, ts, sent, size, received)
    assert len(recorder) <= max(limit, 1)
    assert recorder.dropped + len(recorder) == recorder.position == len(rows)
    kept = recorder.since(0)
    assert kept.missed == recorder.dropped
    expected = rows[recorder.dropped :]
    assert kept.rows["ts"].tolist() == [row[1] for row in expected]
    assert kept.rows["received"].tolist() == [row[3] for row in expected]
    assert kept.rows["size"].tolist() == [row[4] for row in expected]
    names = list(recorder.series)
    assert [names[i] for i in kept.rows["series"]] == [row[0] for row in expected]


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(1, 7))
def test_reading_in_steps_sees_every_sample_once(steps: list[int], capacity: int) -> None:
    recorder = at_zero(capacity=capacity)
    position, seen, written = 0, [], 0
    for step in steps:
        for _ in range(step):
            recorder.record("s", ts=written)
            written += 1
        batch = recorder.since(position)
        position = batch.position
        seen += batch.rows["ts"].tolist()
    assert seen == list(range(written))


def test_a_reader_that_fell_behind_learns_how_much_it_missed() -> None:
    recorder = at_zero(capacity=10, max_samples=20)
    for n in range(35):
        recorder.record("s", ts=n)
    batch = recorder.since(5)
    assert recorder.dropped == 20
    assert batch.missed == 15
    assert batch.rows["ts"][0] == 20


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50), st.floats(0, 100))
def test_percentiles_are_numpys(latencies_ms: list[float], q: float) -> None:
    recorder = at_zero()
    recorder.record("other", ts=0, received=99.0)
    for latency in latencies_ms:
        recorder.record("s", ts=0.0, received=latency / 1e3)
    assert recorder.percentiles("s", [q])[q] == pytest.approx(np.percentile(latencies_ms, q), abs=1e-6)


def test_percentiles_of_nothing_are_nan_and_of_a_stranger_an_error() -> None:
    recorder = at_zero()
    recorder.record("s", ts=math.nan)
    assert all(math.isnan(value) for value in recorder.percentiles("s").values())
    with pytest.raises(KeyError, match=r"no series 'x'; there is: 's'\. Run the cell"):
        recorder.percentiles("x")


@pytest.mark.parametrize(
    "bad", [{"ts": "soon"}, {"ts": None}, {"ts": 1.0, "size": -1}, {"ts": 1.0, "size": 2**32}]
)
def test_a_bad_sample_is_refused_and_leaves_nothing_behind(bad: dict) -> None:
    recorder = at_zero()
    with pytest.raises(TypeError, match="a sample is"):
        recorder.record("s", **bad)
    assert len(recorder) == 0


@pytest.mark.parametrize("bad", [{"capacity": 0}, {"max_samples": 0}])
def test_a_recorder_without_room_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Recorder(**bad)


def test_too_many_series_are_refused() -> None:
    recorder = at_zero()
    for n in range(256):
        recorder.record(str(n), ts=0.0)
    with pytest.raises(ValueError, match="at most 256 series"):
        recorder.record("one more", ts=0.0)


def test_appending_allocates_nothing_that_stays() -> None:
    import tracemalloc

    recorder = Recorder(capacity=10_000)
    recorder.record("s", ts=0.0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(9_000):
            recorder.record("s", 1.0, 2.0, 3)
        assert tracemalloc.get_traced_memory()[0] - before < 2_000
    finally:
        tracemalloc.stop()


def test_it_appends_half_a_million_samples_a_second() -> None:
    rates = []
    for _ in range(5):
        recorder = Recorder()
        record, start = recorder.record, time.thread_time()  # others' work does not count
        for _ in range(50_000):
            record("websocket", 1.0, 2.0, 100)
        rates.append(50_000 / (time.thread_time() - start))
    assert max(rates) >= 500_000


def test_repr_and_statistics() -> None:
    recorder = at_zero(capacity=4, max_samples=8)
    for n in range(10):
        recorder.record("s", ts=n)
    recorder.mark("fault")
    found = recorder.statistics()
    assert (found["samples"], found["dropped"], found["marks"]) == (6, 4, 1)
    assert found["memory_bytes"] == 8 * 32
    assert found["series"]["s"] == {"samples": 6, "round_trip": False, "no_clock": None}
    assert repr(recorder) == "Recorder(series=['s'])"


# Attaching


class Source(Emitter):
    __slots__ = ("welcome",)

    def __init__(self, welcome: object = None) -> None:
        super().__init__()
        self.welcome = welcome

    def send(self, type: str, value: object) -> None:
        assert self.emit(type, value) == []


def welcome(boot: str | None) -> Message:
    return Message("welcome", {"bootId": boot})


def test_a_feed_on_this_machine_has_one_way_latency() -> None:
    recorder = at_zero()
    source = Source(welcome(boot_id()))
    recorder.attach(source, series="websocket")
    source.send("feed", Message("feed", {"n": 0, "pad": "x" * 9}, ts=-0.003, sent=-0.002))
    row = recorder.to_frame().iloc[0]
    assert (row["latency_ms"], row["transit_ms"], row["lateness_ms"]) == pytest.approx((3.0, 2.0, 1.0))
    assert row["size_bytes"] == 9
    assert recorder.series["websocket"].no_clock is None


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (None, "no welcome"),
        (welcome("of another machine"), "another machine"),
        (welcome(None), "unknown"),
        (Message("welcome", "odd"), "no welcome"),
    ],
)
def test_without_a_common_clock_only_round_trips_are_reported(greeting: object, reason: str) -> None:
    recorder = at_zero()
    source = Source(greeting)
    recorder.attach(source, series="feed")
    recorder.attach(source, series="echo", type="echo")
    source.send("feed", Message("feed", ts=-500.0, sent=-500.0))
    source.send("echo", Message("echo", ts=-0.001, sent=-500.0))
    feed, echo = (row for _, row in recorder.to_frame().iterrows())
    assert all(math.isnan(feed[name]) for name in ("latency_ms", "transit_ms", "lateness_ms"))
    assert reason in (recorder.series["feed"].no_clock or "")
    assert echo["latency_ms"] == pytest.approx(1.0)
    assert math.isnan(echo["transit_ms"])
    assert math.isnan(echo["lateness_ms"])


def test_a_welcome_after_attaching_settles_the_clocks() -> None:
    recorder = at_zero()
    source = Source()
    recorder.attach(source)
    source.welcome = welcome(boot_id())
    source.send("connected", Connected(at=1.0))
    assert recorder.series["websocket"].no_clock is None
    source.send("welcome", welcome("elsewhere"))
    assert recorder.series["websocket"].no_clock is not None


def test_the_caller_may_decide_about_the_clocks() -> None:
    recorder = at_zero()
    recorder.attach(Source(), series="a", common_clock=True)
    recorder.attach(Source(welcome(boot_id())), series="b", common_clock=False)
    assert recorder.series["a"].no_clock is None
    assert recorder.series["b"].no_clock


def test_an_unknown_boot_never_counts_as_common() -> None:
    assert clock_problem(welcome(None), None)
    assert clock_problem(welcome("x"), None)
    assert clock_problem({"bootId": "x"}, "x") is None


def test_a_message_without_stamps_has_no_latency() -> None:
    recorder = at_zero()
    source = Source()
    recorder.attach(source, common_clock=True)
    source.send("feed", Message("feed", ["not", "a", "dict"]))
    row = recorder.to_frame().iloc[0]
    assert math.isnan(row["latency_ms"])
    assert row["size_bytes"] == 0


def test_a_sender_with_a_coarse_timer_is_known_by_its_welcome() -> None:
    for timer, coarse in (("loop", True), ("timerfd", False)):
        recorder = at_zero()
        source = Source()
        recorder.attach(source, "a", "feed")
        source.send("welcome", Message("welcome", {"bootId": "x", "feedTimer": timer}))
        assert recorder.series["a"].coarse_timer is coarse


def test_events_become_marks_once_however_often_it_is_attached() -> None:
    recorder = at_zero()
    source = Source()
    recorder.attach(source, "a", "feed")
    recorder.attach(source, "b", "echo")
    source.send("connected", Connected(at=1.0))
    source.send("disconnected", Disconnected(at=2.0, reason="reset"))
    source.send("reconnecting", Reconnecting(at=2.0, attempt=1, delay=0.1))
    source.send("error", ErrorEvent(at=3.0, source="codec", message="not JSON"))
    assert [(m.time, m.kind, m.text) for m in recorder.marks] == [
        (1.0, "connected", "a"),
        (2.0, "disconnected", "a: reset"),
        (2.0, "reconnecting", "a"),
        (3.0, "error", "a: not JSON"),
    ]


def test_detaching_leaves_no_handler_behind() -> None:
    recorder = at_zero()
    source = Source()
    with recorder.attach(source):
        assert "feed" in source.names
    assert not any(name in source.names for name in ("feed", "welcome", "connected", "error"))
    attachment = recorder.attach(source)
    assert repr(attachment) == "<Attachment: feed → 'websocket', on>"
    attachment.detach()
    assert repr(attachment) == "<Attachment: feed → 'websocket', detached>"
    recorder.attach(source)
    recorder.stop()
    assert "feed" not in source.names
    assert recorder.attachments == []


def test_one_series_holds_one_kind() -> None:
    recorder = at_zero()
    recorder.attach(Source(), "ws", "feed")
    with pytest.raises(ValueError, match="one-way samples: give the other kind a name of its own"):
        recorder.attach(Source(), "ws", "echo")


# The loop's lag


async def test_a_blocked_loop_is_seen_and_its_samples_are_told_apart() -> None:
    async with Recorder() as recorder:
        recorder.record("s", ts=0.0)
        await asyncio.sleep(0.02)
        end = time.monotonic() + 0.05
        while time.monotonic() < end:  # the loop's own fault, on purpose
            pass
        recorder.record("s", ts=0.0)
        await asyncio.sleep(0.02)
        assert recorder.loop_lag.running
    assert not recorder.loop_lag.running
    late = recorder.to_frame()["loop_late"].tolist()
    assert late[-1]
    assert recorder.statistics()["loop"]["lag_max_ms"] > 30


def test_late_stretches_reach_one_interval_beyond_their_end() -> None:
    lag = LoopLag(0.005, late=0.005)
    lag.note(1.000, 1.0049)
    lag.note(2.000, 2.100)
    lag.note(3.000, 3.010)
    times = np.array([0.5, 1.001, 1.999, 2.0, 2.104, 2.106, 3.001, 9.0])
    assert lag.covers(times).tolist() == [False, False, False, True, True, False, True, False]
    assert lag.stretches(since=2.5).tolist() == [[3.0, 3.01]]


async def test_starting_twice_ticks_once_and_stopping_leaves_no_timer() -> None:
    lag = LoopLag(0.001)
    lag.start()
    lag.start()
    await asyncio.sleep(0.02)
    lag.stop()
    lag.stop()
    ticks = lag.statistics()["ticks"]
    assert 0 < ticks <= 21
    await asyncio.sleep(0.005)
    assert lag.statistics()["ticks"] == ticks


@pytest.mark.parametrize("bad", [{"interval": 0}, {"interval": 2}, {"late": 0}, {"interval": math.nan}])
def test_senseless_tickers_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="got"):
        LoopLag(**bad)


def test_a_loaded_recorder_takes_no_more(tmp_path: object) -> None:
    recorder = at_zero()
    recorder.record("s", ts=1.0)
    loaded = Recorder.load(recorder.save(f"{tmp_path}/run.csv"))
    with pytest.raises(InvalidState, match="make a Recorder"):
        loaded.record("s", ts=1.0)


def test_a_broken_event_object_is_still_a_mark() -> None:
    recorder = at_zero()
    source = Source()
    recorder.attach(source)
    source.send("connected", SimpleNamespace())
    assert [m.kind for m in recorder.marks] == ["connected"]
