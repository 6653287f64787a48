"""Shared by the connection inspector and the wire timeline: a source of entries, and flow control."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast, runtime_checkable

import anywidget
import traitlets

from rtlab.measure.fault_marks import FaultEvents, FaultMarks
from rtlab.measure.recorder import Recorder
from rtlab.testing.recordings.journal import Journal, JournalEntry
from rtlab.testing.recordings.journal_loader import run_of
from rtlab.testing.recordings.live_connection_recorder import WireRecording
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback
from rtlab.widgets.panels.copy_as_code_button import CopyAsCode

__all__ = ["JournalFeed", "JournalPanel", "feed_of"]

#: Seconds between two messages to the page, and how many of them may be unacknowledged.
_PERIOD: Final = 0.1
_CREDIT: Final = 4


@runtime_checkable
class JournalFeed(Protocol):
    """A journal and notice of each new entry; `WireRecording` and `Replay` are entry feeds."""

    journal: Journal

    def on_entry(self, listener: Callable[[JournalEntry], object]) -> None: ...
    def off_entry(self, listener: Callable[[JournalEntry], object]) -> None: ...


class _Past:
    """A finished recording, as a feed to which no entry is added."""

    def __init__(self, journal: Journal) -> None:
        self.journal = Journal(max(1, len(journal)))
        for entry in sorted(journal, key=lambda entry: entry.at):
            self.journal.note(entry)

    def on_entry(self, listener: Callable[[JournalEntry], object]) -> None: ...
    def off_entry(self, listener: Callable[[JournalEntry], object]) -> None: ...


def feed_of(source: Any) -> JournalFeed:
    """Return the entry feed of anything that can be shown.

    Parameters
    ----------
    source : Connection, WireRecording, Replay, Journal, Recorder or path
        A connection is recorded from now on; a journal, a recorder's run, or the path of either, is finished.

    Raises
    ------
    TypeError
        For anything else.
    JournalError
        For a file that is no recording.
    """
    if isinstance(source, JournalFeed):
        return source
    if isinstance(source, Journal):
        return _Past(source)
    if isinstance(source, (str, Path, Recorder)):
        return _Past(run_of(source))
    if hasattr(source, "watch_wire"):
        return WireRecording(source)
    raise TypeError(
        "expected a connection, a WireRecording, a Replay, a Journal or the path of a saved one, "
        f"got {source!r:.80}"
    )


class JournalPanel(CopyAsCode, anywidget.AnyWidget):
    """Sends news of entries to the page at most ten times a second, and never faster than the page draws.

    Subclasses implement `_take`, which applies an entry, `_forget`, which prepares for a new run, and
    `_news`, which returns the next message to the page.

    Parameters
    ----------
    source : Connection, WireRecording, Replay, Journal or path
        As for `feed_of`.
    faults : FaultClient, optional
        ``lab.faults``: what the fault proxy does is noted while the panel runs in ``async with``. If
        several panels show one `WireRecording`, pass it to only one of them. None: no faults.
    **traits : any
        Traits of the widget.
    """

    #: Whether the panel runs in ``async with``; the page then keeps it in view.
    watching = traitlets.Bool(False).tag(sync=True)

    def __init__(self, source: Any, *, faults: FaultEvents | None = None, **traits: Any) -> None:
        feed = feed_of(source)
        self._marks: FaultMarks | None = None
        if faults is not None:
            if not isinstance(feed, WireRecording):
                raise TypeError("faults are shown of a live connection: a recording has its own")
            self._marks = FaultMarks(faults, feed)
        self.feed = feed
        self._owned = self.feed if self.feed is not source and isinstance(self.feed, WireRecording) else None
        super().__init__(**traits)
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = False
        self._sent = self._acked = 0
        self._on_loop = LoopCallback()
        self._journal = self.feed.journal
        self._fresh = False
        for entry in self._journal:
            self._take(entry)
        self.feed.on_entry(self._heard)
        self.on_msg(self._from_any_thread)

    async def __aenter__(self) -> Self:
        if self._marks is not None:
            await self._marks.__aenter__()
        self.watching = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.watching = False
        if self._marks is not None:
            await self._marks.__aexit__(*exc_info)

    def close(self) -> None:
        """Stop listening, and remove the panel from the page. Safe to repeat."""
        if feed := getattr(self, "feed", None):  # the constructor may have failed before
            feed.off_entry(self._heard)
            if self._owned is not None:
                self._owned.stop()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        super().close()

    # Implemented by subclasses

    def _take(self, entry: JournalEntry) -> None:
        raise NotImplementedError

    def _forget(self) -> None:
        raise NotImplementedError

    def _news(self, *, fresh: bool) -> dict[str, Any]:
        raise NotImplementedError

    def _receive_other(self, content: dict[str, Any]) -> None:
        """Handle a message of the page that is neither a greeting nor an acknowledgement."""

    # To the page and from it

    def _heard(self, entry: JournalEntry) -> None:
        if self.feed.journal is not self._journal:  # a rewound replay runs again
            self._journal, self._fresh = self.feed.journal, True
            self._forget()
        self._take(entry)
        self._later()

    def _later(self) -> None:
        self._changed = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a view asks for the news when it is opened
        if self._timer is None or self._loop is not loop:  # a timer of an earlier loop never fires
            self._loop = loop
            self._timer = loop.call_later(_PERIOD, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._changed and self._sent - self._acked < _CREDIT:
            self._send_news(fresh=False)

    def _send_news(self, *, fresh: bool) -> None:
        fresh, self._fresh = fresh or self._fresh, False
        self._changed = False
        self._sent += 1
        self.send({"seq": self._sent, "fresh": fresh, **self._news(fresh=fresh)})

    def _from_any_thread(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, content: dict[str, Any]) -> None:
        kind, seq = content.get("kind"), content.get("seq")
        if kind == "hello":  # a view was opened: messages under way are lost
            self._acked = self._sent
            self._send_news(fresh=True)
        elif kind == "ack" and isinstance(seq, int):
            self._acked = max(self._acked, min(seq, self._sent))
            if self._changed:
                self._later()
        else:
            self._receive_other(content)
