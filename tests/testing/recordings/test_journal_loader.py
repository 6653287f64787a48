"""What a recorder kept, and what lies in data/: it plays on every panel with no socket, or says why not."""

from __future__ import annotations

import math
import socket
from pathlib import Path
from typing import Any

import pytest

from rtlab import ConnectionInspector, LatencyPlot, Replay, WireTimeline, data_path
from rtlab.client.event_emitter import Connected, Disconnected, Emitter, Reconnecting
from rtlab.measure.recorder import Recorder
from rtlab.measure.recording_csv_and_parquet import RecordingError
from rtlab.testing.recordings import journal_loader
from rtlab.testing.recordings.journal import MAX_ENTRIES, Journal, JournalError
from rtlab.testing.recordings.journal_loader import run_of


@pytest.fixture(autouse=True)
def _no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a replay opened a socket")

    for name in ("connect", "connect_ex", "bind", "listen"):  # the loop has a pair of its own for itself
        monkeypatch.setattr(socket.socket, name, refused, raising=False)


def a_run() -> Recorder:
    recorder = Recorder(clock=lambda: 100.0, parameters={"rate": 10})
    conn = Emitter()
    recorder.attach(conn, "websocket", common_clock=True)
    recorder.add_series("echo", round_trip=True)
    recorder.add_series("far", no_clock="another machine")
    for number in range(20):
        at = 100.1 + number / 10
        recorder.record("websocket", at - 0.002, at - 0.001, 64, at)
        recorder.record("echo", at - 0.003, math.nan, 0, at + 0.01)
    recorder.record("far", 1.0, 1.0, 0, 102.5)
    reason = "the connection was lost"
    conn.emit("disconnected", Disconnected(at=101.0, code=1006, reason=reason, will_reconnect=True))
    conn.emit("reconnecting", Reconnecting(at=101.0, attempt=1, delay=0.5, reason=reason))
    recorder.mark("fault", "cut", at=100.99)
    recorder.mark("note", "the cable", at=100.98)
    conn.emit("connected", Connected(at=101.5, attempt=1, transport="websocket", connect_time=0.01))
    recorder.loop_lag.note(100.29, 100.31)
    return recorder


@pytest.mark.parametrize("where", ["memory", "run.csv", "run.csv.gz"])
async def test_a_recorders_run_drives_plot_inspector_and_timeline(tmp_path: Path, where: str) -> None:
    run = a_run()
    replay = Replay(run if where == "memory" else run.save(tmp_path / where), speed=math.inf)
    plot = LatencyPlot(again := replay.recorder())
    inspector, timeline = ConnectionInspector(replay), WireTimeline(replay)
    sent: dict[str, list[Any]] = {"plot": [], "inspector": [], "timeline": []}
    for name, panel in (("plot", plot), ("inspector", inspector), ("timeline", timeline)):
        panel.send = lambda content, buffers=None, name=name: sent[name].append(content)  # type: ignore[method-assign]
    told: list[Any] = []
    replay.on("reconnecting", told.append)
    async with plot:
        assert await replay.run()
    before, after = run.to_frame().sort_values("t_s"), again.to_frame()
    assert after["series"].tolist() == before["series"].tolist()
    for name in ("t_s", "latency_ms", "transit_ms", "lateness_ms", "size_bytes"):
        assert after[name].tolist() == pytest.approx(before[name].tolist(), abs=2e-4, nan_ok=True)
    assert after["loop_late"].tolist() == before["loop_late"].tolist()
    assert after["loop_late"].sum() == 2
    assert [(mark.kind, mark.text) for mark in again.marks] == [
        *(("note", "the cable"), ("fault", "cut"), ("disconnected", "websocket: the connection was lost")),
        *(("reconnecting", "websocket: the connection was lost"), ("connected", "websocket")),
    ]
    assert sent["plot"][-1]["total"] == 41
    for panel in (inspector, timeline):
        panel._receive({"kind": "hello"})
    facts = sent["inspector"][-1]
    assert (facts["state"], facts["counts"]["messages_in"], facts["counts"]["faults"]) == ("Connected", 41, 1)
    assert [(row["code"], row["again"]) for row in facts["closes"]] == [(1006, True)]
    assert [(row["number"], row["delay"], row["outcome"]) for row in facts["attempts"]] == [
        (1, 0.5, "connected in 10.0 ms")
    ]
    assert len(sent["timeline"][-1]["rows"]) == len(replay.recording)
    assert [(event.attempt, event.delay) for event in told] == [(1, 0.5)]
    assert replay.about["rate"] == 10


async def test_one_series_of_a_run_is_one_connection() -> None:
    replay = Replay(a_run(), speed=math.inf, series="echo")
    again = replay.recorder()
    assert await replay.run()
    assert again.percentiles("echo", (50,))[50] == pytest.approx(13.0)
    assert len(again) == 20
    with pytest.raises(JournalError, match="has no series 'x'; it has 'websocket', 'echo', 'far'"):
        Replay(a_run(), series="x")
    with pytest.raises(JournalError, match="a journal has no series"):
        Replay(Journal(), series="x")


async def test_marks_of_a_file_that_kept_only_words_are_told() -> None:
    recorder = Recorder(clock=lambda: 0.0)
    recorder.add_series("sse")
    for kind in ("connected", "moved", "reconnecting", "resync", "error", "disconnected"):
        recorder.mark(kind, "sse: why")
    replay, told = Replay(recorder, speed=math.inf), list[Any]()
    for kind in ("connected", "moved", "reconnecting", "resync", "error", "disconnected"):
        replay.on(kind, told.append)
    assert await replay.run()
    assert len(told) == 6
    assert math.isnan(told[2].delay)


def test_each_file_of_data_plays_or_says_what_can() -> None:
    played: list[str] = []
    refused: list[str] = []
    top = data_path("README.md").parent
    for path in sorted(top.rglob("*")):
        if path.is_dir():
            continue
        try:
            Replay(path)
        except (JournalError, RecordingError) as error:
            refused.append(str(error))
        else:
            played.append(path.relative_to(top).as_posix())
    assert all("what can be played" in text or "as it written by" in text for text in refused), refused
    assert played == ["dead_path.json", "runs/cut.jsonl"]


async def test_the_dead_path_is_a_timeline_of_its_own() -> None:
    replay = Replay(data_path("dead_path.json"), speed=math.inf)
    inspector, timeline = ConnectionInspector(replay), WireTimeline(replay)
    assert await replay.run()
    assert inspector.facts.counts["disconnects"] == 5
    assert {row["reason"] for row in inspector.facts.closes} == {"ETIMEDOUT"}
    assert len(timeline.figure().axes) == 1


def test_what_cannot_be_played_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JournalError, match="nothing to play: this recorder holds no sample"):
        run_of(Recorder())
    with pytest.raises(TypeError, match="expected a Journal, a Recorder or a path, got 7"):
        run_of(7)
    for name in ("run.csv", "run.json", "run.jsonl"):
        with pytest.raises(JournalError, match="cannot be read: No such file"):
            run_of(tmp_path / name)
    (tmp_path / "bad.csv").write_bytes(b"\xff\x00,")
    with pytest.raises(RecordingError, match="has no rtlab header"):
        run_of(tmp_path / "bad.csv")
    monkeypatch.setattr(journal_loader, "MAX_SAMPLES", 40)
    with pytest.raises(JournalError, match="holds 41 samples, and at most 40 can be played"):
        run_of(a_run())
    recorder = Recorder(parameters={"what": object()})
    recorder.mark("note")
    with pytest.raises(JournalError, match="parameters are not plain JSON"):
        run_of(recorder)


def test_a_long_journal_is_read_as_a_whole(tmp_path: Path) -> None:
    long = Journal(MAX_ENTRIES + 5)
    for number in range(MAX_ENTRIES + 5):
        long.add(float(number), "peer", "message", "x")
    long.save(tmp_path / "long.jsonl")
    assert len(Journal.load(tmp_path / "long.jsonl")) == MAX_ENTRIES + 5
