"""Turns any recorded run into a journal: that of a wire recording, a recorder or the dead-path experiment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from rtlab.measure.preallocated_sample_log import Mark
from rtlab.measure.recorder import Recorder
from rtlab.measure.recording_csv_and_parquet import Recording, read_recording
from rtlab.policies.state_machine_types import State
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message
from rtlab.testing.recordings.journal import Journal, JournalEntry, JournalError

__all__ = ["MAX_SAMPLES", "run_of"]

#: How many samples of a recorder become entries at most: each takes half a kilobyte.
MAX_SAMPLES: Final = 300_000
_CAN: Final = (
    "what can be played: a .jsonl of WireRecording or Journal.save, a .csv, .csv.gz or .parquet of "
    'Recorder.save, and data_path("dead_path.json")'
)
_EVENTS: Final = ("connected", "moved", "reconnecting", "disconnected", "resync", "error")


class _Segment(msgspec.Struct):
    t: float
    kind: str


class _Case(msgspec.Struct):
    name: str
    segments: list[_Segment]
    options: dict[str, Any] = {}
    ended: float | None = None
    error: str = ""


class _DeadPath(msgspec.Struct):
    cases: list[_Case]
    about: dict[str, Any] = {}


def run_of(source: Any, series: str | None = None) -> Journal:
    """Return the journal of a recorded run.

    Parameters
    ----------
    source : Journal, Recorder or path
        The suffix of a path says what the file is: ``.jsonl`` a journal; ``.csv``, ``.csv.gz`` or
        ``.parquet`` a file of `Recorder.save`; ``.json`` a run of the dead-path experiment.
    series : str, optional
        Take only this series of a recorder's run, and the events of its connection. None: all.

    Returns
    -------
    Journal
        For a recorder's run, the first entry holds the series and the event loop's late stretches. Each
        sample is a message with the series and the size as payload, since the original payload was not
        kept. Each series is a connection of its own, whose state is derived from its events.

    Raises
    ------
    JournalError
        For a file that is missing, damaged, or holds only a run's results; the error says what can be played.
    RecordingError
        For a ``.csv`` that no recorder wrote.
    TypeError
        For anything else.
    """
    if isinstance(source, Recorder):
        return _of_recorder(source.recording(), "this recorder", source.started, series)
    if isinstance(source, Journal):
        return _whole(source, "a journal", series)
    if not isinstance(source, (str, Path)):
        raise TypeError(f"expected a Journal, a Recorder or a path, got {source!r:.80}; {_CAN}")
    path = Path(source)
    if path.name.endswith((".csv", ".csv.gz", ".parquet")):
        try:
            return _of_recorder(read_recording(path), path.name, 0.0, series)
        except OSError as error:
            raise JournalError(f"{path} cannot be read: {error.strerror}") from error
    if path.suffix == ".json":
        return _whole(_of_dead_path(path), path.name, series)
    if path.suffix in (".png", ".md", ".gz", ".zip"):
        raise JournalError(f"{path.name} is no recorded run; {_CAN}")
    return _whole(Journal.load(path), path.name, series)


def _whole(journal: Journal, name: str, series: str | None) -> Journal:
    if series is not None:
        raise JournalError(f"{name} has no series, only a recorder's run has: leave series out")
    return journal


# A recorder's run


def _of_recorder(recording: Recording, name: str, start: float, only: str | None) -> Journal:
    rows = recording.rows
    if len(rows) > MAX_SAMPLES:
        raise JournalError(
            f"{name} holds {len(rows):,} samples, and at most {MAX_SAMPLES:,} can be played: "
            "save a shorter run, or draw it with Recorder.load(path) and latency_figure"
        )
    known = [series.name for series in recording.series]
    if only is not None and only not in known:
        raise JournalError(f"{name} has no series {only!r}; it has {', '.join(map(repr, known)) or 'none'}")
    entries: list[JournalEntry] = []
    for series in recording.series:
        type_ = "echo" if series.round_trip else "feed"
        mine = rows[rows["series"] == series.index]
        if len(mine):  # samples came, so it was open, even if no event says so
            first = float(mine["received"].min())
            entries.append(JournalEntry(first, "client", "state", State.CONNECTED.value, series.index + 1))
        for received, ts, sent, size in mine[["received", "ts", "sent", "size"]].tolist():
            message = Message(type_, {"series": series.name, "bytes": size}, ts=_known(ts), sent=_known(sent))
            entries.append(
                JournalEntry(received, "peer", "message", JSON.encode(message).decode(), series.index + 1)
            )
    numbers = {series.name: series.index + 1 for series in recording.series}
    entries = [entry for mark in recording.marks for entry in _of_mark(mark, numbers)] + entries
    if only is not None:
        number = numbers[only]
        entries = [entry for entry in entries if entry.who == "proxy" or entry.connection == number]
    if not entries:
        raise JournalError(f"there is nothing to play: {name} holds no sample and no event")
    entries.sort(key=lambda entry: entry.at)
    about = {
        **recording.parameters,
        "series": recording.series,
        "late": recording.late.tolist(),
        "lateInterval": recording.late_interval,
        "forgotten": recording.dropped,
    }
    return _journal(entries, about, min(start, entries[0].at))


def _of_mark(mark: Mark, numbers: dict[str, int]) -> Iterator[JournalEntry]:
    number = numbers.get(mark.text.partition(":")[0], 1)
    if mark.kind not in _EVENTS:
        yield JournalEntry(
            mark.time, "proxy" if mark.kind == "fault" else "client", mark.kind, mark.text, number
        )
        return
    fields = _fields(mark.event)
    number = numbers.get(str(fields.get("series")), number)
    if not fields:  # an older file, whose marks have text only
        fields = {"reason" if mark.kind != "error" else "message": mark.text}
    state = _state_after(mark.kind, fields)
    if state is not None:
        yield JournalEntry(mark.time, "client", "state", state.value, number)
    if mark.kind == "disconnected" and "code" in fields:
        code, reason = fields["code"], fields.get("reason", "")
        ended = "reset" if code == 1006 else "close"
        words = str(reason) if ended == "reset" else f"{code} {reason}".strip()
        yield JournalEntry(mark.time, "peer", ended, words, number)
    yield JournalEntry(mark.time, "client", mark.kind, msgspec.json.encode(fields).decode(), number)


def _state_after(kind: str, fields: dict[str, Any]) -> State | None:
    if kind == "connected":
        return State.CONNECTED
    if kind == "reconnecting":
        return State.RECONNECTING
    if kind == "disconnected":
        return State.RECONNECTING if fields.get("will_reconnect") else State.DISCONNECTED
    return None


def _fields(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except Exception:  # bytes of any kind: msgspec raises more than its own errors
        return {}


def _known(stamp: float) -> float | None:
    return None if math.isnan(stamp) else stamp


# The dead-path experiment's run


def _of_dead_path(path: Path) -> Journal:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}") from error
    try:
        run = msgspec.json.decode(raw, type=_DeadPath)
    except Exception:  # the file may hold anything
        raise JournalError(f"{path.name} holds results of a run, and not its moments; {_CAN}") from None
    entries: list[JournalEntry] = []
    for number, case in enumerate(run.cases, 1):
        options = ", ".join(f"{name} = {value}" for name, value in case.options.items())
        entries.append(
            JournalEntry(0.0, "proxy", "fault", f"the path died: {case.name} {options}".strip(), number)
        )
        for segment in case.segments:
            what = {"data": "message", "probe": "ping"}.get(segment.kind, segment.kind)
            words = "unacknowledged data" if what == "message" else ""
            entries.append(JournalEntry(segment.t, "client", what, words, number))
        if case.ended is not None:
            ended = msgspec.json.encode({"code": 1006, "reason": case.error}).decode()
            entries.append(JournalEntry(case.ended, "client", "disconnected", ended, number))
    entries.sort(key=lambda entry: entry.at)
    return _journal(entries, run.about, 0.0)


def _journal(entries: list[JournalEntry], about: dict[str, Any], begin: float) -> Journal:
    journal = Journal(len(entries) + 1)
    try:
        said = msgspec.json.encode(about).decode()
    except (TypeError, ValueError, OverflowError) as error:
        raise JournalError(f"the run's parameters are not plain JSON values: {error}") from error
    for entry in (JournalEntry(begin, "client", "recording", said), *entries):
        journal.note(entry)
    return journal
