"""Records a live connection into a journal: what it sent and received, its pings, states and events."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, Self

import msgspec
from msgspec.structs import replace

from rtlab.client.connection_watchers import WireWatcher
from rtlab.client.event_emitter import Disconnected, Handler, event_fields
from rtlab.client.user_callback_errors import call, check_callback
from rtlab.errors import describe
from rtlab.processes.monotonic_clock_boot_id import boot_id
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message, fields_of
from rtlab.testing.recordings.journal import Journal, JournalEntry

__all__ = ["CONNECTION_EVENTS", "Recorded", "WireRecording"]

_log: Final = logging.getLogger("rtlab")

#: A connection's own events. A recording keeps the fields of each as JSON.
CONNECTION_EVENTS: Final = ("connected", "moved", "reconnecting", "disconnected", "resync", "error")

#: How many states, events, closes and faults older than the newest entries are kept in addition.
MAX_LIFE: Final = 1_000

#: Fields of `ConnectionStats` that a recording keeps about the time before it, if the connection was open.
BEFORE: Final = (
    *("attempts", "connects", "disconnects", "messages_in", "messages_out"),
    *("uptime", "connect_time", "transport"),
)

#: Secret payload fields of rtlab's own message types.
_SECRET: Final = {"auth": {"token"}, "welcome": {"session"}}
_HIDDEN: Final = "***"


class Recorded(Protocol):
    """What a connection needs so that it can be recorded; all connections of `rtlab.client` have it."""

    @property
    def state(self) -> Any: ...
    @property
    def options(self) -> Mapping[str, str]: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    def on(self, name: str, handler: Handler) -> object: ...
    def off(self, name: str, handler: Handler) -> object: ...
    def watch_wire(self, watcher: WireWatcher) -> None: ...
    def unwatch_wire(self, watcher: WireWatcher) -> None: ...


class WireRecording:
    """Writes what happens on a connection into a `Journal`, from now until `stop`.

    Parameters
    ----------
    connection : Recorded
        Any connection of rtlab, open or not.
    limit : int
        How many entries are kept. Beyond it, the oldest messages and heartbeats are dropped, and a note
        counts them; up to 1,000 older states, events, closes and faults are kept in addition.
    about : mapping, optional
        JSON values that describe the run; `Replay.about` returns them.

    Attributes
    ----------
    journal : Journal
        The recorded entries. `rtlab.testing.recordings.replayed_connection.Replay` plays them again, and
        ``PeerScript.replay`` makes a peer of them.

    Notes
    -----
    Messages are kept as JSON, whatever codec carried them. Secrets in rtlab's own messages (tokens, the
    session's name) become ``***``; payloads of your own types are kept unchanged. To record the
    faults of a proxy too, pass the recording to `rtlab.measure.fault_marks.FaultMarks`.

    Examples
    --------
    ::

        with WireRecording(conn) as recording:
            async with conn:
                await conn.request("echo", {"n": 1})
        recording.save("echo.jsonl")
    """

    def __init__(
        self, connection: Recorded, *, limit: int = 10_000, about: Mapping[str, Any] | None = None
    ) -> None:
        self.journal: Journal = _LifeJournal(limit)
        self._connection = connection
        self._clock = connection.clock
        self._listeners: list[Callable[[JournalEntry], object]] = []
        self._stop_listeners: list[Callable[[], object]] = []
        self._number = 1
        self._opened = False
        first = {
            **(about or {}),
            "connection": type(connection).__name__,
            "options": dict(connection.options),
            **_before(connection),
            "bootId": boot_id(),
        }
        self._note("client", "recording", msgspec.json.encode(first).decode())
        self._state(connection.state.value)
        self._hooks: list[tuple[str, Handler]] = [(kind, self._keeper(kind)) for kind in CONNECTION_EVENTS]
        for kind, keep in self._hooks:
            connection.on(kind, keep)
        connection.watch_wire(self._watch)

    @property
    def is_recording(self) -> bool:
        """Whether what happens on the connection is still recorded: False after `stop`."""
        return bool(self._hooks)

    def stop(self) -> None:
        """Stop recording; the recorded entries stay. Safe to repeat."""
        stops = self.is_recording
        self._connection.unwatch_wire(self._watch)
        for kind, keep in self._hooks:
            self._connection.off(kind, keep)
        self._hooks.clear()
        for listener in tuple(self._stop_listeners) if stops else ():
            _, error = call(listener)
            if error is not None:
                _log.warning("a listener of a recording raised %s", describe(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def save(self, path: str | Path) -> Path:
        """Write the run into a file, one JSON object per line; return its path."""
        self.journal.save(path)
        return Path(path)

    def mark(self, kind: str, text: str = "", at: float | None = None) -> None:
        """Add an entry for something outside the connection: a fault, or a note of the reader's.

        Parameters
        ----------
        kind : str
            ``"fault"``, ``"note"`` …
        text : str
            The text to show.
        at : float, optional
            Time in seconds on the connection's clock; None: now.
        """
        self._note("proxy" if kind == "fault" else "client", kind, text, at)

    def now(self) -> float:
        """Return the time on the connection's clock, in seconds."""
        return self._clock()

    def on_entry(self, listener: Callable[[JournalEntry], object]) -> None:
        """Call ``listener(entry)`` for each entry from now on; an exception that it raises is logged."""
        check_callback(listener, "a listener")
        self._listeners.append(listener)

    def off_entry(self, listener: Callable[[JournalEntry], object]) -> None:
        """Remove a listener; an unknown one is ignored."""
        self._listeners = [other for other in self._listeners if other != listener]

    def on_stop(self, listener: Callable[[], object]) -> None:
        """Call ``listener()`` when the recording stops; an exception that it raises is logged."""
        check_callback(listener, "a listener")
        self._stop_listeners.append(listener)

    def off_stop(self, listener: Callable[[], object]) -> None:
        """Remove a listener of `on_stop`; an unknown one is ignored."""
        self._stop_listeners = [other for other in self._stop_listeners if other != listener]

    def __repr__(self) -> str:
        return f"<WireRecording: {len(self.journal)} entries>"

    # What happens

    def _watch(self, who: str, what: str, data: Any) -> None:
        match what:
            case "message":
                self._note(who, what, JSON.encode(_without_secrets(data)).decode())
            case "state":
                self._state(data)
            case "pong":
                self._note(who, what, f"{1e3 * data:.2f} ms")
            case _:
                self._note(who, what)

    def _state(self, name: str) -> None:
        if name == "Connected":  # the first entry of every new connection
            self._number += self._opened
            self._opened = True
        self._note("client", "state", name)

    def _keeper(self, kind: str) -> Handler:
        def keep(event: Any) -> None:
            if isinstance(event, Disconnected):
                self._close(event)
            self._note("client", kind, msgspec.json.encode(event_fields(event)).decode())

        return keep

    def _close(self, event: Disconnected) -> None:
        who = "client" if self._connection.state.value == "Closed" else "peer"
        if event.code == 1006:
            self._note(who, "reset", event.reason)
        else:
            self._note(who, "close", f"{event.code} {event.reason}".strip())

    def _note(self, who: str, what: str, data: str = "", at: float | None = None) -> None:
        entry = JournalEntry(self._clock() if at is None else at, who, what, data, self._number)
        self.journal.note(entry)
        for listener in tuple(self._listeners):
            if listener not in self._listeners:
                continue  # an earlier one has removed it
            _, error = call(listener, entry)
            if error is not None:
                _log.warning("a listener of a recording raised %s", describe(error))


class _LifeJournal(Journal):
    """Keeps older states and events when messages are dropped, so that panels still show what happened."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._limit = limit
        self._life: deque[JournalEntry] = deque(maxlen=MAX_LIFE)
        self._forgotten = 0
        self.note = self._keep

    def __len__(self) -> int:
        return len(self._life) + bool(self._forgotten) + len(self._entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        yield from tuple(self._life)
        newest = tuple(super().__iter__())
        if self._forgotten:
            told = f"{self._forgotten:,} messages and heartbeats before this were forgotten"
            yield JournalEntry(newest[0].at, "client", "note", told, newest[0].connection)
        yield from newest

    def _keep(self, entry: tuple[float, str, str, str | bytes, int]) -> None:
        if len(self._entries) == self._limit:
            oldest = JournalEntry(*self._entries[0])
            if oldest.what in ("message", "ping", "pong"):
                self._forgotten += 1
            else:
                self._life.append(oldest)
        self._entries.append(entry)


def _before(connection: Recorded) -> dict[str, Any]:
    """Return the connection's statistics from before the recording; empty if it was never open."""
    stats = getattr(connection, "stats", None)
    if not getattr(stats, "connects", 0):
        return {}
    return {"before": {name: getattr(stats, name) for name in BEFORE}}


def _without_secrets(message: Message) -> Message:
    """Return the message without its secrets, with which a reader of the file could act as this client."""
    if message.token is not None:
        message = replace(message, token=_HIDDEN)
    if message.type not in _SECRET:
        return message
    payload = {
        name: _HIDDEN if name in _SECRET[message.type] else value
        for name, value in fields_of(message.payload).items()
    }
    return replace(message, payload=payload)
