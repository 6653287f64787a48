"""The connection inspector: the state of a connection, how it came about, and the options in force."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import traitlets

from rtlab.client.connection import Connection
from rtlab.policies import backoff, missed_heartbeats_and_dead_peers
from rtlab.testing.recordings.journal import JournalEntry
from rtlab.testing.recordings.live_connection_recorder import WireRecording
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.panels.connection_facts import EDGES, ConnectionFacts
from rtlab.widgets.panels.copy_as_code_button import call_as_code
from rtlab.widgets.panels.journal_panel import JournalPanel

if TYPE_CHECKING:
    from rtlab.figures.chart_style.matplotlib_style import Chart
    from rtlab.measure.fault_marks import FaultEvents

__all__ = ["ConnectionInspector", "options_as_code"]

_CONNECTIONS: Final = {
    "WebSocketConnection": "rtlab",
    "ServerSentEvents": "rtlab",
    "LongPolling": "rtlab",
    "WebRTCChannel": "rtlab",
    "RealtimeConnection": "rtlab.patterns.realtime_client",
}


class ConnectionInspector(JournalPanel):
    """The state diagram, live; attempts with their delays; close codes with their meaning; options in force.

    Parameters
    ----------
    source : Connection, WireRecording, Replay, Journal or path
        A connection is recorded from now on. A `Replay` is shown as it plays. A journal, or the path
        of a saved one, is shown as it ended.
    faults : FaultClient, optional
        ``lab.faults``: what the fault proxy does is counted while the inspector runs in ``async with``.

    Attributes
    ----------
    facts : ConnectionFacts
        What the inspector shows, for use in code.

    Notes
    -----
    The inspector follows the connection's own events, at most ten times a second, so it works while a cell
    awaits. For a connection that is open already, it starts from the connection's statistics. Tab reaches
    the options, the code and its button; a screen reader speaks each change of state.

    Examples
    --------
    In a notebook::

        inspector = ConnectionInspector(conn)
        display(inspector)
        async with conn:
            await asyncio.sleep(60)  # pull the cable meanwhile
    """

    _esm = page_files(
        "panel.js", "axis_ticks.js", "kernel_liveness.js", "scroll_into_view.js", "inspector.js"
    )
    _css = page_files("panel.css", "inspector.css")

    edges: Any = traitlets.List([list(edge) for edge in EDGES]).tag(sync=True)  # pyright: ignore

    def __init__(self, source: Any, *, faults: FaultEvents | None = None) -> None:
        self.facts = ConnectionFacts()
        self._coded: object = None
        super().__init__(source, faults=faults)
        if isinstance(self.feed, WireRecording):
            self.feed.on_stop(self._later)  # no entry tells of it, and the page counts the time
        self._show_code()

    def close(self) -> None:
        """Stop listening, and remove the panel from the page. Safe to repeat."""
        if isinstance(feed := getattr(self, "feed", None), WireRecording):
            feed.off_stop(self._later)
        super().close()

    def figure(self) -> Chart:
        """Return the static state diagram."""
        from rtlab.figures.diagrams.state_diagram import state_figure

        return state_figure()

    def summary(self) -> str:
        """Return the connection's state and counts in one line."""
        facts, counts = self.facts, self.facts.counts
        last = f", last close {facts.closes[-1]['code']}" if facts.closes else ""
        return (
            f"{facts.state}: connected {counts['connects']} ×, disconnected {counts['disconnects']} ×{last}, "
            f"messages: {counts['messages_out']} out, {counts['messages_in']} in"
        )

    def __repr__(self) -> str:
        return f"ConnectionInspector({self.facts.state})"

    def _take(self, entry: JournalEntry) -> None:
        self.facts.take(entry)
        if entry.what == "recording":
            self._show_code()

    def _forget(self) -> None:
        self.facts = ConnectionFacts()

    def _news(self, *, fresh: bool) -> dict[str, Any]:
        facts = self.facts
        # A live connection's own clock: the time in its state grows even if no entry comes.
        recording = self.feed if isinstance(self.feed, WireRecording) else None
        live = recording is not None and recording.is_recording
        now = recording.now() if recording is not None and live else facts.newest
        return {
            "kind": "facts",
            "state": facts.state,
            "former": facts.former,
            "since": round(max(0.0, now - facts.changed_at), 3),
            "live": live,
            "transport": facts.transport,
            "roundTrip": facts.round_trip,
            "note": facts.note,
            "counts": dict(facts.counts),
            "attempts": [{**row, "at": round(now - row["at"], 3)} for row in facts.attempts],
            "closes": [{**row, "at": round(now - row["at"], 3)} for row in facts.closes],
            "options": facts.options,
            "summary": self.summary(),
        }

    def _show_code(self) -> None:
        if self._coded is not self.facts.options:
            self._coded = self.facts.options
            more = [] if self._marks is None else ["faults=lab.faults"]
            self.code = options_as_code(self.facts.connection, self.facts.options, *more)


def options_as_code(connection: str, options: dict[str, str], *more: str) -> str:
    """Return the cell that makes a connection with these options, and inspects it.

    Parameters
    ----------
    connection : str
        Name of its class; a class that is not rtlab's becomes a `WebSocketConnection`.
    options : dict of str to str
        As in `Connection.options`. Defaults are left out; an option whose value is not Python source
        that makes it again is put into a comment.
    *more : str
        Further arguments of the inspector.

    Examples
    --------
    >>> print(options_as_code("LongPolling", {"connect_timeout": "3.0", "breaker": "CircuitBreaker(closed)"}))
    from rtlab import ConnectionInspector, LongPolling
    <BLANKLINE>
    # url is your server's; breaker=CircuitBreaker(closed)
    conn = LongPolling(url, connect_timeout=3.0)
    ConnectionInspector(conn)
    """
    kind = connection if connection in _CONNECTIONS else "WebSocketConnection"
    usual = Connection(_no_transport).options
    told = {name: value for name, value in options.items() if usual.get(name) != value}
    imports: dict[str, list[str]] = {"rtlab": ["ConnectionInspector"]}
    imports.setdefault(_CONNECTIONS[kind], []).append(kind)
    made: list[str] = []
    untold: list[str] = []
    for name, value in told.items():
        maker = value.partition("(")[0]
        policies = (backoff, missed_heartbeats_and_dead_peers)
        home = next((module for module in policies if maker in module.__all__), None)
        if home is not None:
            imports.setdefault(home.__name__, []).append(maker)
        elif "(" in value:
            untold.append(f"{name}={value}")
            continue
        made.append(f"{name}={value}")
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in imports.items()]
    comment = "; ".join(["# url is your server's", *untold])
    call = call_as_code(kind, "url", *made)
    shown = call_as_code("ConnectionInspector", "conn", *more)
    return "\n".join([*lines, "", comment, f"conn = {call}", shown])


def _no_transport() -> Any:
    raise NotImplementedError  # a connection that is only asked for its defaults
