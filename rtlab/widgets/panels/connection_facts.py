"""Derives facts about a connection from the entries of a run: its state, attempts, closes and counts."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, cast

from rtlab.policies.state_machine_types import State
from rtlab.policies.state_transition_table import TABLE
from rtlab.protocol.close_codes import close_code
from rtlab.testing.recordings.journal import JournalEntry
from rtlab.widgets.panels.journal_entry_text import fields_of_entry

__all__ = ["EDGES", "ConnectionFacts"]

#: The arrows of the state diagram, as (from, to). Transitions that keep the state are left out.
EDGES: Final = tuple(
    dict.fromkeys((row.state.value, row.then.value) for row in TABLE if row.state is not row.then)
)
#: How many attempts, and how many closes, are shown.
_KEPT: Final = 8
#: Kinds of entries whose data is not an event as JSON. Most entries are of these, so they are not parsed.
_PLAIN: Final = frozenset({"message", "ping", "pong", "state", "fault"})
#: Counts that the connection itself has kept since before its recording began.
_BEFORE: Final = ("connects", "disconnects", "messages_in", "messages_out")
_COUNTED: Final = (*_BEFORE, "pings", "pongs", "errors", "faults")


class ConnectionFacts:
    """Folds entries, one after the other, into what the inspector shows.

    Attributes
    ----------
    state : str
        The connection's state.
    changed_at : float
        When the state began, in seconds on the recording's clock.
    former : str
        The state before it; empty at first.
    options : dict of str to str
        The options in force, each as Python source.
    connection : str
        The connection's class; empty if the recording does not contain it.
    attempts, closes : deque of dict
        The newest connection attempts and closes, oldest first.
    counts : dict of str to int
        Connects, disconnects, messages in and out, including those before the recording; pings, pongs,
        errors and faults since the recording began.
    transport, round_trip, note : str
        The newest transport, round-trip time, and error or fault, in words.

    Examples
    --------
    >>> facts = ConnectionFacts()
    >>> facts.take(JournalEntry(1.0, "client", "state", "Connecting"))
    >>> facts.take(JournalEntry(2.0, "client", "state", "Connected"))
    >>> facts.former, facts.state, facts.changed_at
    ('Connecting', 'Connected', 2.0)
    """

    def __init__(self) -> None:
        self.state = State.DISCONNECTED.value
        self.former = ""
        self.changed_at = 0.0
        self.newest = 0.0
        self.options: dict[str, str] = {}
        self.connection = ""
        self.transport = self.round_trip = self.note = ""
        self.attempts: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.closes: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.counts = dict.fromkeys(_COUNTED, 0)

    def take(self, entry: JournalEntry) -> None:
        """Fold in one entry, the next in time."""
        if not self.newest:
            self.changed_at = entry.at
        self.newest = max(self.newest, entry.at)
        fields = {} if entry.what in _PLAIN else fields_of_entry(entry)
        match entry.what:
            case "recording":
                options = fields.get("options")
                if isinstance(options, dict):
                    self.options = {str(name): str(value) for name, value in options.items()}  # pyright: ignore
                self.connection = str(fields.get("connection", ""))
                before = fields.get("before")
                if isinstance(before, dict):
                    self._before(cast("dict[str, Any]", before), entry.at)
            case "state":
                self._state(str(entry.data), entry.at)
            case "message":
                self.counts["messages_in" if entry.who == "peer" else "messages_out"] += 1
            case "ping":
                self.counts["pings"] += 1
            case "pong":
                self.counts["pongs"] += 1
                self.round_trip = str(entry.data)
            case "connected":
                self._connected(fields, entry.at)
            case "reconnecting":
                self._outcome(str(fields.get("reason", "")))
                self._attempt(fields.get("attempt"), fields.get("delay"), entry.at)
            case "disconnected":
                self._disconnected(fields, entry.at)
            case "moved":
                self.transport = str(fields.get("transport", ""))
            case "error":
                self.counts["errors"] += 1
                self.note = str(fields.get("message", ""))
            case "fault":
                self.counts["faults"] += 1
                self.note = str(entry.data)
            case _:
                pass

    def _before(self, told: dict[str, Any], at: float) -> None:
        """Start from the connection's statistics of the time before its recording."""

        def number(name: str) -> float:
            value = told.get(name)
            return value if isinstance(value, (int, float)) else 0

        for name in _BEFORE:
            self.counts[name] += int(number(name))
        self.transport = str(told.get("transport", ""))
        if number("uptime") > 0:
            self.former, self.state = State.CONNECTING.value, State.CONNECTED.value
            self.changed_at = at - number("uptime")
            took, first = number("connect_time"), told.get("attempts") == 1
            self._attempt(0 if first else None, 0.0 if first else None, self.changed_at - took)
            self._outcome(f"connected in {1e3 * took:.1f} ms")

    def _state(self, name: str, at: float) -> None:
        if name == self.state:
            return
        self.former, self.state, self.changed_at = self.state, name, at
        if name == State.CONNECTING.value:
            self._attempt(0, 0.0, at)
        elif name in (State.DISCONNECTED.value, State.CLOSED.value):
            self._outcome("given up" if name == State.DISCONNECTED.value else "closed by its owner")

    def _attempt(self, number: Any, delay: Any, at: float) -> None:
        self.attempts.append({"number": number, "delay": delay, "at": at, "outcome": ""})

    def _outcome(self, words: str) -> None:
        """Note the outcome of the attempt under way, if there is one."""
        if self.attempts and not self.attempts[-1]["outcome"]:
            self.attempts[-1]["outcome"] = words or "failed"

    def _connected(self, fields: dict[str, Any], at: float) -> None:
        self.counts["connects"] += 1
        self.transport = str(fields.get("transport", ""))
        took = fields.get("connect_time")
        after = f" in {1e3 * took:.1f} ms" if isinstance(took, float) else ""
        resumed = ", session resumed" if fields.get("resumed") else ""
        if not self.attempts or self.attempts[-1]["outcome"]:
            self._attempt(fields.get("attempt"), None, at)  # the recording began during it
        self._outcome(f"connected{after}{resumed}")

    def _disconnected(self, fields: dict[str, Any], at: float) -> None:
        self.counts["disconnects"] += 1
        code = fields.get("code", 1006)
        known = close_code(code) if isinstance(code, int) else None
        self.closes.append(
            {
                "at": at,
                "code": code,
                "name": known.name if known else "",
                "meaning": known.meaning if known else "",
                "reason": str(fields.get("reason", "")),
                "again": bool(fields.get("will_reconnect")),
            }
        )
