from __future__ import annotations

import gzip
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtlab.measure.recorder import Recorder
from rtlab.measure.recording_csv_and_parquet import RecordingError

SUFFIXES = ["csv", "csv.gz", "parquet"]


def a_run() -> Recorder:
    times = iter([100.0])
    recorder = Recorder(clock=lambda: next(times, 100.5), parameters={"rate": 1000})
    recorder.add_series("echo", round_trip=True)
    recorder.add_series("far", no_clock="another machine")
    recorder.record("websocket", 100.1, 100.1001, 64, 100.1004)
    recorder.record("echo", 100.2, math.nan, 0, 100.2002)
    recorder.record("far", 1.0, 1.0, 0, 100.3)
    recorder.mark("fault", "latency 100 ms, ünïcode", at=100.25)
    recorder.loop_lag.note(100.29, 100.31)
    return recorder


@pytest.fixture(params=SUFFIXES)
def suffix(request: pytest.FixtureRequest) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, an optional extra")
    return request.param


def test_a_run_survives_the_file(tmp_path: Path, suffix: str) -> None:
    run = a_run()
    loaded = Recorder.load(run.save(tmp_path / f"run.{suffix}"))
    before, after = run.to_frame(), loaded.to_frame()
    assert after["series"].tolist() == before["series"].tolist()
    for name in ("t_s", "latency_ms", "transit_ms", "lateness_ms"):
        assert after[name].tolist() == pytest.approx(before[name].tolist(), abs=2e-4, nan_ok=True)
    assert after["size_bytes"].tolist() == [64, 0, 0]
    assert after["loop_late"].tolist() == before["loop_late"].tolist() == [False, False, True]
    assert [(round(m.time, 3), m.kind, m.text) for m in loaded.marks] == [
        (0.25, "fault", "latency 100 ms, ünïcode")
    ]
    assert loaded.series["far"].no_clock == "another machine"
    assert loaded.parameters["rate"] == 1000
    assert {"cores", "python", "system"} <= loaded.parameters["machine"].keys()
    assert "numpy" in loaded.parameters["versions"]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4), st.integers(0, 2**32 - 1)), max_size=20))
def test_csv_keeps_every_sample_to_a_tenth_of_a_microsecond(rows: list[tuple[float, float, int]]) -> None:
    import tempfile

    recorder = Recorder(clock=lambda: 0.0)
    for ts, received, size in rows:
        recorder.record("s", ts, math.nan, size, received)
    with tempfile.TemporaryDirectory() as folder:
        loaded = Recorder.load(recorder.save(Path(folder, "run.csv.gz"))).since(0).rows
    assert loaded["ts"].tolist() == pytest.approx([row[0] for row in rows], abs=1e-7)
    assert loaded["received"].tolist() == pytest.approx([row[1] for row in rows], abs=1e-7)
    assert loaded["size"].tolist() == [row[2] for row in rows]


def test_an_empty_run_survives_too(tmp_path: Path, suffix: str) -> None:
    loaded = Recorder.load(Recorder(clock=lambda: 0.0).save(tmp_path / f"run.{suffix}"))
    assert len(loaded) == 0


def test_saving_a_loaded_run_changes_nothing(tmp_path: Path) -> None:
    first = a_run().save(tmp_path / "a.csv")
    second = Recorder.load(first).save(tmp_path / "b.csv")
    assert second.read_text().split("\n", 1)[1] == first.read_text().split("\n", 1)[1]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "no rtlab header"),
        ("a.csv", b"a,b\n1,2\n", "no rtlab header"),
        ("a.csv", b"# rtlab-recording {not json\n", "not a readable recorded run"),
        ("a.csv", b"# rtlab-recording {}\nx\n1\n", "not a readable recorded run"),
        ("a.csv.gz", b"not gzip", "not a readable recorded run"),
        ("a.parquet", b"PAR1 but not really", "not a readable recorded run"),
        ("a.txt", b"", "ends in .csv, .csv.gz or .parquet"),
    ],
)
def test_a_bad_file_is_a_clear_error(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=reason):
        Recorder.load(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"format":1', '"format":99', "format 99"),
        (",size_bytes,", ",sighs,", "no column size_bytes"),
        ("64,2", "64,77", "belongs to no series"),
        ("64,2", "64,two", "no whole number"),
        ("64,2", "64,", "no whole number"),
        ("64,2", ",2", "no whole number"),
        ("64,2", "64,65538", "no whole number"),
        ("64,2", "-1,2", "no whole number"),
        ("64,2", "64.5,2", "no whole number"),
        ('"index":1', '"index":7', "not numbered from 0"),
    ],
)
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = a_run().save(tmp_path / "run.csv")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(RecordingError, match=reason):
        Recorder.load(path)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Recorder.load(tmp_path / "none.csv")


def test_parameters_must_be_plain_values(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="parameters are not plain"):
        Recorder(parameters={"x": object()}).save(tmp_path / "a.csv")


def test_without_pyarrow_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RecordingError, match=r"pip install pyarrow.*\.csv\.gz"):
        Recorder().save(tmp_path / "run.parquet")


@pytest.mark.parametrize("name", ["run.csv", "run.csv.gz"])
def test_a_cut_file_is_refused_wherever_it_was_cut(tmp_path: Path, name: str) -> None:
    path = a_run().save(tmp_path / name)
    data = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(gzip.compress(data[:end]) if name.endswith("gz") else data[:end])
        with pytest.raises(RecordingError):
            Recorder.load(path)


def test_a_file_without_the_number_of_samples_is_still_read(tmp_path: Path) -> None:
    path = a_run().save(tmp_path / "run.csv")
    text = path.read_text()
    assert ',"samples":3}' in text
    path.write_text(text.replace(',"samples":3}', "}"))
    assert len(Recorder.load(path)) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused_when_it_is_saved(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(RecordingError, match="parameters are not plain JSON"):
        Recorder(parameters={"deep": [{"x": value}]}).save(path)
    recorder = Recorder()
    recorder.mark("note", at=value)
    with pytest.raises(RecordingError, match="a mark whose time is not finite"):
        recorder.save(path)
    assert not path.exists()
