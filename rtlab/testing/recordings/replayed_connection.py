"""Plays a recorded run again without a socket: what listens to a connection can listen to a `Replay`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from rtlab.client.event_emitter import (
    LOCAL_EVENTS,
    Connected,
    Disconnected,
    Emitter,
    ErrorEvent,
    Listenable,
    Moved,
    Reconnecting,
    Resync,
)
from rtlab.errors import InvalidState, MessageError
from rtlab.measure.event_loop_lag import LoopLag
from rtlab.measure.preallocated_sample_log import Series
from rtlab.measure.recorder import Recorder
from rtlab.protocol.json_and_messagepack_codecs import JSON, parse_json
from rtlab.protocol.message_format import Message, fields_of
from rtlab.testing.recordings.journal import Journal, JournalEntry, JournalError
from rtlab.testing.recordings.journal_loader import run_of

__all__ = ["Replay"]

_EVENTS: Final[dict[str, Any]] = {
    "connected": Connected,
    "moved": Moved,
    "reconnecting": Reconnecting,
    "disconnected": Disconnected,
    "resync": Resync,
    "error": ErrorEvent,
}

#: Defaults for the fields of an event that a mark in plain words does not contain.
_UNTOLD: Final[dict[str, dict[str, Any]]] = {
    "moved": {"former": "", "transport": ""},
    "reconnecting": {"attempt": 0, "delay": math.nan},
    "error": {"source": "recording", "message": ""},
}
#: Kinds of entries that are neither marks nor samples.
_STATES: Final = ("recording", "state", "close", "reset")

_FROM_PEER: Final = ("peer", "message")
#: How many due entries are played before other tasks get a turn of the event loop.
_TURN: Final = 50


class Replay(Listenable):
    """Emits the entries and events of a recording, in their order and at their pace.

    It has a connection's `on` and `off`, so a recorder, a live plot, the connection inspector and the
    wire timeline take it as they take a connection.

    Parameters
    ----------
    recording : Journal, Recorder or path
        The journal of a `WireRecording`, a scripted peer or a mock; a `Recorder`, or the file that it
        saved (``.csv``, ``.csv.gz``, ``.parquet``); ``data/dead_path.json``.
    speed : float
        Playback speed, as a multiple of the recorded pace; ``math.inf`` plays everything at once.
    series : str, optional
        Play only this series of a `Recorder`'s run, for panels that show one connection. None: all series.

    Raises
    ------
    JournalError, RecordingError
        For a file that cannot be played; `rtlab.testing.recordings.journal_loader.run_of` says which can.

    Attributes
    ----------
    recording : Journal
        The whole run.
    journal : Journal
        The entries played so far.

    Examples
    --------
    ::

        replay = Replay(data_path("runs/cut.jsonl"))
        plot = LatencyPlot(recorder := replay.recorder())
        display(plot, WireTimeline(replay))
        async with plot:
            await replay.run()
    """

    def __init__(
        self, recording: Journal | Recorder | str | Path, *, speed: float = 1.0, series: str | None = None
    ) -> None:
        if not speed > 0:
            raise ValueError(f"expected speed > 0, got {speed!r}")
        self.recording = run_of(recording, series)
        self._entries = sorted(self.recording, key=lambda entry: entry.at)
        if not self._entries:
            raise JournalError("there is nothing to play: the recording is empty")
        self.speed = speed
        self._emitter = Emitter()
        self._listeners: list[Callable[[JournalEntry], object]] = []
        self._changed = asyncio.Event()
        self._running = False
        self.rewind()

    # Playing

    def rewind(self) -> None:
        """Go back to the first entry; the next `run` starts there.

        Raises
        ------
        InvalidState
            If the replay is running.
        """
        if self._running:
            raise InvalidState("a replay at rest", "one that runs", "stop() it, and await its run()")
        self.journal = Journal(len(self._entries))
        self.welcome: Message | None = None
        self.paused = self._stopped = False
        self._next = 0
        self._moment, self._since = self._entries[0].at, math.nan
        self._exact: float | None = None

    async def run(self) -> bool:
        """Play to the end, or until `stop`; a second call continues where the first was stopped.

        Returns
        -------
        bool
            Whether the end was reached.

        Raises
        ------
        InvalidState
            If the replay is running already.
        Exception
            Whatever a handler raised.
        """
        if self._running:
            raise InvalidState("a replay at rest", "one that runs", "await the first run()")
        self._running, self._stopped = True, False
        self._since = time.monotonic()
        try:
            while self._next < len(self._entries) and not self._stopped:
                self._changed.clear()
                wait = self._entries[self._next].at - self._raw()
                if wait <= 0 and not self.paused:
                    self._play()
                    if self._next % _TURN == 0:
                        await asyncio.sleep(0)
                else:
                    await _until(self._changed, math.inf if self.paused else wait / self.speed)
        finally:
            self._moment, self._since = self.clock(), math.nan
            self._running = False
        return self._next == len(self._entries)

    def pause(self) -> None:
        """Play nothing until `resume`."""
        self._moment, self._since = self.clock(), math.nan
        self.paused = True
        self._changed.set()

    def resume(self) -> None:
        """Continue after `pause`."""
        self.paused = False
        self._since = time.monotonic() if self._running else math.nan
        self._changed.set()

    def stop(self) -> None:
        """Make `run` return before the next entry."""
        self._stopped = True
        self._changed.set()

    @property
    def duration(self) -> float:
        """Seconds from the first entry to the last, at the recorded pace."""
        return self._entries[-1].at - self._entries[0].at

    def clock(self) -> float:
        """Return the position of the playback, in seconds on the recording's clock."""
        if self._exact is not None:
            return self._exact
        return min(self._raw(), self._entries[min(self._next, len(self._entries) - 1)].at)

    def _raw(self) -> float:
        if math.isnan(self._since):
            return self._moment
        passed = time.monotonic() - self._since
        return self._moment + (math.inf if math.isinf(self.speed) else passed * self.speed)

    def _play(self) -> None:
        entry = self._entries[self._next]
        self._exact = entry.at  # a handler that reads the clock gets the entry's own time
        try:
            self.journal.note(entry)
            for listener in tuple(self._listeners):
                if listener in self._listeners:  # not removed by an earlier one
                    listener(entry)
            self._emit(entry)
        finally:
            self._next += 1
            self._exact = None

    # Listeners

    def on_entry(self, listener: Callable[[JournalEntry], object]) -> None:
        """Call ``listener(entry)`` for each entry that is played from now on."""
        self._listeners.append(listener)

    def off_entry(self, listener: Callable[[JournalEntry], object]) -> None:
        """Remove a listener; an unknown one is ignored."""
        self._listeners = [other for other in self._listeners if other != listener]

    def recorder(self) -> Recorder:
        """Return a recorder for a live plot; it records the run's own latencies, whatever the speed is.

        Returns
        -------
        Recorder
            With a series for each type of message that has a send time, and a mark for each fault. For a
            `Recorder`'s run: with the series, marks and late moments of that run.
        """
        if "series" in self.about:
            return self._as_it_was()
        recorder = Recorder(clock=self.clock, loop_lag=_PastLag())
        transport = next((_fields(e).get("transport") for e in self._entries if e.what == "connected"), None)
        messages = (_message(entry) for entry in self._entries if (entry.who, entry.what) == _FROM_PEER)
        for type_ in dict.fromkeys(m.type for m in messages if m is not None and m.ts is not None):
            # One series per type, each in its own colour: one named after a transport has that transport's.
            name = str(transport or "websocket") if type_ == "feed" else type_
            recorder.attach(self, name, type_)

        def mark(entry: JournalEntry) -> None:
            if entry.what == "fault":
                recorder.mark("fault", str(entry.data), entry.at)

        self.on_entry(mark)
        return recorder

    def _as_it_was(self) -> Recorder:
        """Return a recorder that gets the samples of the recorded `Recorder` again."""
        try:
            run = msgspec.convert(self.about, _RecorderRun)
            lag = _PastLag(run.late_interval)
        except (msgspec.ValidationError, ValueError) as error:
            raise JournalError(f"the recording's description of its series cannot be read: {error}") from None
        recorder = Recorder(clock=self.clock, loop_lag=lag, parameters=self.about)
        names = {series.index + 1: series.name for series in run.series}
        for series in run.series:
            made = recorder.add_series(series.name, round_trip=series.round_trip, no_clock=series.no_clock)
            made.coarse_timer = series.coarse_timer
        late = deque(run.late)

        def take(entry: JournalEntry) -> None:
            while late and late[0][0] <= entry.at:
                lag.note(*late.popleft())
            if (entry.who, entry.what) == _FROM_PEER and (message := _message(entry)) is not None:
                size = fields_of(message.payload).get("bytes", 0)
                ts, sent = (math.nan if stamp is None else stamp for stamp in (message.ts, message.sent))
                recorder.record(names.get(entry.connection, "?"), ts, sent, size, entry.at)
            elif entry.what == "fault":
                recorder.mark("fault", str(entry.data), entry.at)
            elif entry.what in _EVENTS:
                fields = _fields(entry)
                said = str(fields.get("reason") or fields.get("message") or "")
                name = names.get(entry.connection, "")
                recorder.mark(
                    entry.what, f"{name}: {said}" if said else name, entry.at, event=str(entry.data)
                )
            elif entry.what not in _STATES:
                recorder.mark(entry.what, str(entry.data), entry.at)

        self.on_entry(take)
        return recorder

    @property
    def boot_id(self) -> str | None:
        """The recording machine's boot ID: two processes share a monotonic clock only within one boot."""
        found = self.about.get("bootId")
        return found if isinstance(found, str) else None

    @property
    def about(self) -> dict[str, Any]:
        """Description of the run: the connection's class and options, and what the recording added."""
        said = [_fields(entry) for entry in self._entries if entry.what == "recording"]
        return said[0] if said else {}

    def __repr__(self) -> str:
        return f"<Replay: {self._next} of {len(self._entries)} entries>"

    def _emit(self, entry: JournalEntry) -> None:
        if (entry.who, entry.what) == _FROM_PEER:
            message = _message(entry)
            if message is None:
                return
            if message.type == "welcome":
                self.welcome = message
            for name in (message.type, "*") if message.type not in LOCAL_EVENTS else ("*",):
                self._tell(name, message)
        elif entry.what in _EVENTS:
            try:
                event = msgspec.convert(
                    {**_UNTOLD.get(entry.what, {}), **_fields(entry), "at": entry.at}, _EVENTS[entry.what]
                )
            except Exception as error:  # the file may hold anything
                raise JournalError(f"the recording's {entry.what!r} cannot be read: {error}") from None
            self._tell(entry.what, event)

    def _tell(self, name: str, value: Any) -> None:
        for error in self._emitter.emit(name, value):
            raise error


class _PastLag(LoopLag):
    """The recorded event loop's lag, as far as it is known. Measures nothing in the present loop."""

    def start(self, owner: object = None) -> None: ...


class _RecorderRun(msgspec.Struct, rename="camel"):
    """The description in the first entry of a `Recorder`'s run; see `journal_loader`."""

    series: list[Series]
    late: list[tuple[float, float]] = []
    late_interval: float = 0.005


def _fields(entry: JournalEntry) -> dict[str, Any]:
    try:
        return parse_json(entry.data, dict[str, Any])
    except MessageError:
        return {}


def _message(entry: JournalEntry) -> Message | None:
    try:
        return JSON.decode(entry.data)
    except MessageError:
        return None  # the peer may not speak rtlab's protocol


async def _until(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if math.isinf(seconds) else seconds):
            await event.wait()
