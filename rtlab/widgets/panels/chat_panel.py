"""A chat room in a notebook, seen by each of its users side by side."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import anywidget
import traitlets

from rtlab.errors import RtlabError, describe
from rtlab.patterns.room_manager import RoomManager
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.panels.chat_text_check import MAX_TEXT, check_text, text_of
from rtlab.widgets.panels.copy_as_code_button import CopyAsCode
from rtlab.widgets.panels.panel_code_cells import chat_code

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.protocol.message_format import Message

__all__ = ["ChatPanel"]

#: How many lines each user sees; older ones are dropped.
_LINES: Final = 50
#: Seconds from a change until it is sent to the browser, together with all changes meanwhile.
_FLUSH: Final = 0.05
_TIMEOUT: Final = 5.0


class _Seat:
    """One user: their connection, its rooms, and the lines that the panel shows them."""

    def __init__(self, name: str, conn: Connection, changed: Callable[[], None]) -> None:
        self.name = name
        self.conn = conn
        self.rooms = RoomManager(conn)
        self.users: tuple[str, ...] = ()
        self.lines: deque[dict[str, Any]] = deque(maxlen=_LINES)
        self.status = ""
        self._changed = changed
        self._numbers = itertools.count(1)
        for event in ("connected", "disconnected", "reconnecting"):
            conn.on(event, self._moved)

    def close(self) -> None:
        for event in ("connected", "disconnected", "reconnecting"):
            self.conn.off(event, self._moved)
        self.rooms.close()

    def callbacks(self) -> dict[str, Callable[[Any], None]]:
        return {
            "on_message": self._say,
            "on_users_update": self._see,
            "on_resync": lambda event: self.note(f"messages may be missing here: {event.reason}"),
        }

    def note(self, text: str) -> None:
        """Add a line that comes from the panel itself."""
        self._add("", text)

    def _say(self, message: Message) -> None:
        # The author is the client id that the server states: a payload could claim any name.
        self._add(text_of(message.client_id or "somebody"), text_of(message.payload))

    def _see(self, users: tuple[str, ...]) -> None:
        before, self.users = self.users, users
        self._changed()
        if not before:
            return  # the first list holds users who were there before
        for word, some, others in (("left", before, users), ("came", users, before)):
            for user in some:
                if user not in others:
                    self.note(f"{text_of(user)} {word}")

    def _add(self, author: str, text: str) -> None:
        self.lines.append({"n": next(self._numbers), "from": author, "text": text})
        self._changed()

    def _moved(self, _event: object) -> None:
        self._changed()

    def shown(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.conn.state.value,
            "users": [text_of(user) for user in self.users],
            "lines": list(self.lines),
            "status": self.status,
        }


class ChatPanel(CopyAsCode, anywidget.AnyWidget):
    """Shows a room to several users at once, and lets each of them write.

    Parameters
    ----------
    room_id : str
        Name of the room.
    users : mapping of str to Connection
        Open connections, by the name shown over each column. The panel does not close them.

    Notes
    -----
    Works with the keyboard alone: Tab goes from field to field, Enter sends. Whatever a message
    holds is shown as text. A text written without a connection is sent after the reconnect; a text
    that cannot be sent stays in the field, and the panel says why.

    Examples
    --------
    In a notebook::

        async with ChatPanel("lobby", {"Ada": ada, "Bob": bob}) as panel:
            display(panel)
            await panel.say("Ada", "hi")
            await panel.wait()  # until Leave is pressed
    """

    _esm = page_files("panel.js", "kernel_liveness.js", "chat.js")
    _css = page_files("panel.css", "chat.css")

    room = traitlets.Unicode("").tag(sync=True)
    seats: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    longest = traitlets.Int(MAX_TEXT).tag(sync=True)
    entered = traitlets.Bool(False).tag(sync=True)

    def __init__(self, room_id: str, users: Mapping[str, Connection]) -> None:
        self._seats = {name: _Seat(name, conn, self._later) for name, conn in users.items()}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.left = asyncio.Event()
        super().__init__(room=room_id, seats=self._shown(), code=chat_code(room_id, list(users.values())))
        self._on_loop = LoopCallback()
        self.on_msg(self._from_any_thread)

    def __repr__(self) -> str:
        return f"<ChatPanel {self.room!r}: {', '.join(self._seats)}>"

    async def __aenter__(self) -> Self:
        """Join the room as every user.

        Raises
        ------
        RequestRefused, TimeoutError, NotConnected
            As for `RoomManager.join_room`. Users who had joined leave the room again.
        """
        try:
            for seat in self._seats.values():
                await seat.rooms.join_room(self.room, seat.callbacks())
        except BaseException:
            await self._leave()
            raise
        self.entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the room as every user, unless the panel was closed before; the lines stay readable."""
        await self._leave()

    def close(self) -> None:
        """Stop listening, and remove the panel from the page; the users stay in the room. Safe to repeat."""
        if hasattr(self, "_tasks"):  # the constructor may have failed before
            for seat in self._seats.values():
                seat.close()
            for task in self._tasks:
                task.cancel()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self.entered = False
        super().close()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until *Leave* is pressed.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; None waits without limit.

        Returns
        -------
        bool
            Whether it was pressed.
        """
        try:
            async with asyncio.timeout(timeout):
                await self.left.wait()
        except TimeoutError:
            return False
        return True

    async def say(self, user: str, text: str) -> None:
        """Send what a user says, as the field does; returns when it is accepted for sending.

        Parameters
        ----------
        user : str
            The name over the column.
        text : str
            1 to 2,000 characters.

        Raises
        ------
        ValueError
            If the text is empty or too long.
        RtlabError
            If the user is not in the room, or the outbox is full.
        """
        seat, said = self._seats[user], check_text(text)
        receipt = await seat.rooms.send(
            self.room, "chat", {"text": said}, ts=time.monotonic(), delivery="effectively_once"
        )
        seat.status = ""
        self._spawn(self._watch(seat, receipt, said))

    def lines(self, user: str) -> list[tuple[str, str]]:
        """Return the lines that a user sees, as (author, text); the panel's own lines have no author."""
        return [(line["from"], line["text"]) for line in self._seats[user].lines]

    async def _watch(self, seat: _Seat, receipt: Any, said: str) -> None:
        try:
            await receipt.acked(None)
        except RtlabError as error:
            seat.status = f"not sent: {error} ({said:.40})"
            self._later()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _leave(self) -> None:
        """Leave the room as every user who has joined it, and stop listening."""

        async def leave(seat: _Seat) -> None:
            with suppress(RtlabError, TimeoutError):  # without an answer, `leave_room` repeats it later
                await seat.rooms.leave_room(self.room)

        try:  # at once: without answers, the timeouts do not add up
            await asyncio.gather(*(leave(seat) for seat in self._seats.values()))
        finally:
            await self._close()

    async def _close(self) -> None:
        for seat in self._seats.values():
            seat.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self.entered = False

    # To the browser

    def _shown(self) -> list[dict[str, Any]]:
        return [seat.shown() for seat in self._seats.values()]

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self.seats = self._shown()

    # From the browser

    def _from_any_thread(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, content: dict[str, Any]) -> None:
        match content:
            case {"action": "leave"}:
                self.left.set()
            case {"action": "say", "user": str(user), "text": text, "n": n} if (
                user in self._seats and self.entered
            ):
                self._spawn(self._obey(user, text, n))
            case _:
                pass  # a newer front end may send other messages

    async def _obey(self, user: str, text: object, n: object) -> None:
        why = ""
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self.say(user, text)  # pyright: ignore[reportArgumentType]
        except (RtlabError, ValueError, TimeoutError) as error:
            why = str(error) or describe(error)
        self.send({"kind": "answer", "user": user, "n": n, "why": why})
