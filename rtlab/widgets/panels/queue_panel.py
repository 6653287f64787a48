"""A panel for an offline queue: its backlog, its oldest wait, messages in flight, and dead letters."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import traitlets

from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.panels.chat_text_check import text_of
from rtlab.widgets.panels.copy_as_code_button import CopyAsCode
from rtlab.widgets.panels.panel_code_cells import queue_code
from rtlab.widgets.panels.polled_panel import PolledPanel

if TYPE_CHECKING:
    from rtlab.patterns.offline_message_queue import MessageQueue

__all__ = ["QueuePanel"]

#: How many dead letters are shown, the oldest first.
_LETTERS: Final = 20
#: Longest text of a dead letter, and longest name, in characters.
_TEXT: Final = 200
_NAME: Final = 64


class QueuePanel(CopyAsCode, PolledPanel):
    """Shows a `MessageQueue` while it is used, and retries its dead letters.

    Parameters
    ----------
    queue : MessageQueue
        The queue, open or not; the panel neither opens nor closes it.

    Notes
    -----
    Keys: Tab goes from button to button, Enter or Space presses one. A screen reader reads out
    changes in words (*sending*, *offline*, a dead letter); the numbers are in a table, and are read
    only when the reader goes there. Whatever a message holds is shown as text.

    Examples
    --------
    In a notebook::

        panel = QueuePanel(queue)
        display(panel)
        async with queue, conn:
            await queue.send("note", {"text": "hi"}, room_id="notes")
            await queue.flush()
    """

    silence = "the queue's file does not answer: is its disk busy?"
    _esm = page_files("panel.js", "kernel_liveness.js", "poll_while_visible.js", "queue.js")
    _css = page_files("panel.css", "queue.css")

    #: The queue's name, state, statistics (`QueueStats`) and limits.
    counts = traitlets.Dict().tag(sync=True)
    #: Dead letters: ``id``, ``text``, ``error``, ``room``.
    letters: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    more = traitlets.Bool(False).tag(sync=True)
    warning = traitlets.Unicode("").tag(sync=True)

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._seen: tuple[int, int] | None = None
        super().__init__(code=queue_code(queue))
        self._count()

    def __repr__(self) -> str:
        return f"QueuePanel({self._queue.name!r})"

    async def look(self) -> None:
        """Show what the queue holds now."""
        queue = self._queue
        self._count()
        if not queue.is_open:
            self._seen = None
            return
        stats = queue.stats
        taken = stats.depth + stats.sent + stats.dead + stats.dropped
        # Dead letters are on disk. They are read only if they may have changed: after a message was
        # given up, or, while there are dead letters, after one may have been retried.
        if self._seen is None or stats.dead != self._seen[1] or (self.letters and taken != self._seen[0]):
            await self._read_letters()
            self._seen = (taken, stats.dead)

    async def retry(self, id: str | None = None) -> int:
        """Queue dead letters again, as the buttons do.

        Parameters
        ----------
        id : str, optional
            Id of one dead letter; None: all.

        Returns
        -------
        int
            How many were queued again: 0 if they had been retried already.

        Raises
        ------
        QueueError
            If they could not be written.
        InvalidState
            If the queue is closed.
        """
        try:
            count = await self._queue.retry(id)
        finally:
            if self._queue.is_open:
                self._count()
                await self._read_letters()
        self.say(f"{count} queued again" if count else "it is no dead letter any more")
        return count

    async def act(self, content: dict[str, Any]) -> None:
        """Retry one dead letter, or all."""
        match content:
            case {"action": "retry", "id": str(id)}:
                await self.retry(id)
            case {"action": "retry_all"}:
                await self.retry()
            case _:
                pass  # a newer front end may send other messages

    def _count(self) -> None:
        queue = self._queue
        stats, limits = queue.stats, queue.options
        before, state = self.counts.get("state"), _state(queue)
        self.counts = {
            "name": text_of(queue.name)[:_NAME],
            "state": state,
            "depth": stats.depth,
            "most": limits.max_messages,
            "bytes": stats.size_bytes,
            "oldest": round(stats.oldest_age, 1),
            "in_flight": stats.in_flight,
            "window": limits.window,
            "sent": stats.sent,
            "dead": stats.dead,
            "dropped": stats.dropped,
        }
        if state != before or self._unreachable:
            self.say(state)
        if queue.damage is not None:
            kept = queue.damage.kept_as.name
            self.warning = f"the file was damaged ({queue.damage.reason}): it is kept as {kept}, and not sent"

    async def _read_letters(self) -> None:
        letters = await self._queue.dead_letters(_LETTERS + 1)
        before = len(self.letters)
        self.more = len(letters) > _LETTERS
        self.letters = [
            {
                "id": letter.id,
                "text": f"{text_of(letter.type)}: {text_of(letter.payload)}"[:_TEXT],
                "room": text_of(letter.room_id or "")[:_NAME],
                "error": text_of(letter.error)[:_TEXT],
            }
            for letter in letters[:_LETTERS]
        ]
        if len(self.letters) > before:
            count = f"more than {_LETTERS}" if self.more else str(len(self.letters))
            self.say(f"{count} dead {'letter' if count == '1' else 'letters'}: the server did not take them")


def _state(queue: MessageQueue) -> str:
    if not queue.is_open:
        in_memory = str(queue.path) == ":memory:"
        return "closed: in memory, nothing is kept" if in_memory else "closed: what waits is in its file"
    if queue.conn.state.value != "Connected":
        return f"{queue.conn.state.value}: what is sent now waits here"
    return "sending" if len(queue) else "nothing waits"
