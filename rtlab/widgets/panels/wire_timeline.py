"""A sequence diagram of what went over the wire, live or of a recording: to scrub, and to play again."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import traitlets

from rtlab.figures.chart_style.palette import PALETTE
from rtlab.testing.recordings.journal import JournalEntry
from rtlab.testing.recordings.replayed_connection import Replay
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.panels.copy_as_code_button import call_as_code
from rtlab.widgets.panels.journal_entry_text import KINDS, words_of
from rtlab.widgets.panels.journal_panel import JournalPanel

if TYPE_CHECKING:
    from rtlab.figures.chart_style.matplotlib_style import Chart
    from rtlab.measure.fault_marks import FaultEvents

__all__ = ["ROW_COLORS", "SPEEDS", "WireTimeline"]

#: How fast the page can play, as multiples of the recorded pace.
SPEEDS: Final = (0.001, 0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0)
#: How many rows the page keeps; older ones are dropped.
_KEPT: Final = 2_000
#: Most rows in one message to the page: formatting them must not block the event loop that is watched.
_AT_ONCE: Final = 200

#: The colour of each kind of row.
ROW_COLORS: Final = {
    "message": PALETTE["blue"],
    "heartbeat": PALETTE["green"],
    "close": PALETTE["vermilion"],
    "fault": PALETTE["orange"],
    "state": PALETTE["grey"],
    "event": PALETTE["purple"],
}


class WireTimeline(JournalPanel):
    """Messages, heartbeats, closes and faults between client and peer, from top to bottom.

    Parameters
    ----------
    source : Connection, WireRecording, Replay, Journal or path
        A connection is recorded from now on. A `Replay` is shown as it plays. A journal, or the path
        of a saved one, is shown as a whole.
    speed : float
        Speed of *Play*: one of `SPEEDS`.
    hide : sequence of str
        Kinds of rows that are left out, of ``"message"``, ``"heartbeat"``, ``"close"``, ``"fault"``,
        ``"state"`` and ``"event"``.
    faults : FaultClient, optional
        ``lab.faults``: what the fault proxy does is shown while the timeline runs in ``async with``.

    Notes
    -----
    *Play* and the slider move through rows that the page has already: they need no kernel, so they work
    while a cell runs, and after it. While the newest row is selected, the timeline follows new rows.

    Keys, on the slider: ← → (or ↑ ↓) one row, Page Up and Down ten, Home and End, Space plays and pauses.

    Examples
    --------
    In a notebook::

        timeline = WireTimeline(conn, faults=lab.faults)
        display(timeline)
        async with timeline, conn:
            await conn.request("echo", {"n": 1})
        timeline.figure()
    """

    _esm = page_files(
        "panel.js", "axis_ticks.js", "kernel_liveness.js", "keys_left_to_notebook.js", "timeline.js"
    )
    _css = page_files("panel.css", "timeline.css")

    speed = traitlets.Float(1.0).tag(sync=True)
    hide: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    speeds: Any = traitlets.List(list(SPEEDS)).tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    colors: Any = traitlets.Dict(ROW_COLORS).tag(sync=True)  # pyright: ignore[reportUnknownVariableType]

    def __init__(
        self,
        source: Any,
        *,
        speed: float = 1.0,
        hide: Any = (),
        faults: FaultEvents | None = None,
    ) -> None:
        _check(speed, hide)
        self._entries: deque[JournalEntry] = deque(maxlen=_KEPT)
        self._forget()
        self._source = _name_of(source)
        super().__init__(source, faults=faults, speed=float(speed), hide=list(hide))
        self._show_code()

    @property
    def recording(self) -> Any:
        """The source's journal: ``timeline.recording.save("run.jsonl")``."""
        return self.feed.journal

    def set(self, *, speed: float | None = None, hide: Any = None) -> None:
        """Set the speed and the hidden kinds from code, as the controls do.

        Raises
        ------
        ValueError
            For an unknown speed or kind; nothing is changed then.
        """
        speed = self.speed if speed is None else speed
        hide = self.hide if hide is None else hide
        _check(speed, hide)
        with self.hold_sync():
            self.speed, self.hide = float(speed), [kind for kind in KINDS if kind in hide]
        self._show_code()

    def figure(self, last: int = 30, *, hide: Any = None) -> Chart:
        """Return the newest rows as a static figure.

        Parameters
        ----------
        last : int
            How many rows at most.
        hide : sequence of str, optional
            Kinds of rows that the figure leaves out; None: those that the panel hides.
        """
        hidden = self.hide if hide is None else hide
        _check(self.speed, hidden)
        from rtlab.figures.diagrams.sequence_diagram import Arrow, sequence_figure

        names = {color: name for name, color in PALETTE.items()}
        arrows = [
            Arrow(*_ends(entry), line, entry.at - self._start, names[ROW_COLORS[kind]])
            # By time, as on the page: a proxy's fault is reported only after it happened.
            for entry, kind, line in sorted(self._shown(hidden), key=lambda row: row[0].at)
        ]
        return sequence_figure(("client", "peer"), arrows[max(0, len(arrows) - last) :], title="on the wire")

    def __repr__(self) -> str:
        return f"WireTimeline({self._source}, {self._count} rows)"

    # Rows

    def _shown(self, hidden: Any) -> Iterator[tuple[JournalEntry, str, str]]:
        for entry in self._entries:
            kind, line, _ = words_of(entry)
            if kind not in hidden:
                yield entry, kind, line

    def _forget(self) -> None:
        self._entries.clear()
        self._told = self._count = 0
        self._start = math.nan

    def _take(self, entry: JournalEntry) -> None:
        if math.isnan(self._start):
            self._start = entry.at
        self._entries.append(entry)
        self._count += 1

    def _news(self, *, fresh: bool) -> dict[str, Any]:
        held = len(self._entries)
        first = self._count - held  # number of the oldest row that is held
        begin = first if fresh else max(first, self._told)
        end = self._count if fresh else min(self._count, begin + _AT_ONCE)
        rows = [self._row(entry) for entry in islice(self._entries, begin - first, end - first)]
        if not fresh and begin > self._told:
            missing = f"… {begin - self._told} rows came too fast, and are not shown"
            rows.insert(0, [rows[0][0], "event", "client", "", missing, missing, rows[0][-1]])
        self._told = end
        if end < self._count:
            self._later()
        return {"kind": "rows", "rows": rows, "kept": _KEPT}

    def _row(self, entry: JournalEntry) -> list[Any]:
        """Return the list that js/timeline.js unpacks into a row."""
        kind, line, whole = words_of(entry)
        sender, receiver = _ends(entry)
        to = "" if sender == receiver else receiver
        return [round(entry.at - self._start, 6), kind, entry.who, to, line, whole, entry.connection]

    def _receive_other(self, content: dict[str, Any]) -> None:
        wanted = content.get("set")
        if not isinstance(wanted, dict):
            return
        settings = cast("dict[str, Any]", wanted)
        try:
            self.set(speed=settings.get("speed"), hide=settings.get("hide"))
        except (ValueError, TypeError):
            return  # the panel's own controls never send this

    def _show_code(self) -> None:
        options: dict[str, Any] = {}
        if self.speed != 1.0:
            options["speed"] = self.speed
        if self.hide:
            options["hide"] = list(self.hide)
        arguments = [self._source, *(["faults=lab.faults"] if self._marks is not None else [])]
        self.code = "from rtlab import WireTimeline\n\n" + call_as_code("WireTimeline", *arguments, **options)


def _ends(entry: JournalEntry) -> tuple[str, str]:
    """Return the lanes from which and to which an entry goes; the same lane twice if it is not sent."""
    lane = "client" if entry.who == "client" else "peer"
    if entry.is_sent:
        return lane, "peer" if lane == "client" else "client"
    return lane, lane


def _check(speed: float, hide: Any) -> None:
    if isinstance(speed, bool) or speed not in SPEEDS:
        raise ValueError(f"speed: expected one of {', '.join(f'{s:g}' for s in SPEEDS)}, got {speed!r:.40}")
    if isinstance(hide, str) or any(kind not in KINDS for kind in hide):
        raise ValueError(f"hide: expected a list of {', '.join(KINDS)}, got {hide!r:.80}")


def _name_of(source: Any) -> str:
    """Return the expression for the source in the cell of *Copy as code*."""
    if isinstance(source, (str, Path)):
        return repr(str(source))
    if isinstance(source, Replay):
        return "replay"
    return "conn" if hasattr(source, "watch_wire") else "recording"
