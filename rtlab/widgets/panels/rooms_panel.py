"""A panel for the rooms of one connection: the users, the last offset and the messages of each room."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import traitlets

from rtlab.protocol.message_format import RESERVED_TYPES
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.panels.chat_text_check import text_of
from rtlab.widgets.panels.copy_as_code_button import CopyAsCode
from rtlab.widgets.panels.panel_code_cells import rooms_code
from rtlab.widgets.panels.polled_panel import PolledPanel

if TYPE_CHECKING:
    from rtlab.client.event_emitter import Resync
    from rtlab.patterns.room_manager import RoomManager
    from rtlab.protocol.message_format import Message

__all__ = ["RoomsPanel"]

#: How many lines of each room are kept; longest line, and longest name, in characters.
_LINES: Final = 20
_TEXT: Final = 200
_NAME: Final = 64


class _Seen:
    """What has arrived in one room since the panel has watched it."""

    def __init__(self) -> None:
        self.count = 0
        self.lines: deque[dict[str, Any]] = deque(maxlen=_LINES)

    def add(self, text: str, author: str = "", offset: int | None = None) -> None:
        self.count += 1
        self.lines.append({"n": self.count, "from": author, "text": text[:_TEXT], "offset": offset})


class RoomsPanel(CopyAsCode, PolledPanel):
    """Shows the rooms of a `RoomManager`, and joins and leaves rooms.

    Parameters
    ----------
    rooms : RoomManager
        The manager. The panel listens beside the manager's callbacks, and does not change them. Rooms
        that code joins are shown too.

    Notes
    -----
    Keys: write a room's name and press Enter to join it; Tab goes on to *Leave* and to the messages of
    each room, which the arrow keys scroll. Whatever a name or a message holds is shown as text.

    Examples
    --------
    In a notebook::

        panel = RoomsPanel(rooms)
        display(panel)
        await rooms.join_room("lobby", {"on_message": print})
    """

    silence = "the server does not answer: is the connection open?"
    _esm = page_files("panel.js", "kernel_liveness.js", "poll_while_visible.js", "rooms.js")
    _css = page_files("panel.css", "rooms.css")

    connection = traitlets.Unicode("").tag(sync=True)
    #: For each room: ``id``, ``name``, ``users``, ``epoch``, ``offset``, ``count``, ``lines``.
    rooms: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]

    def __init__(self, rooms: RoomManager) -> None:
        self._manager = rooms
        self._seen: dict[str, _Seen] = {}
        rooms.conn.on("*", self._take)
        rooms.conn.on("resync", self._resync)
        super().__init__()
        self._show()

    def __repr__(self) -> str:
        return f"RoomsPanel({', '.join(room['id'] for room in self.rooms) or 'in no room'})"

    def close(self) -> None:
        """Stop listening, and remove the panel from the page. The connection stays in its rooms."""
        self._manager.conn.off("*", self._take)
        self._manager.conn.off("resync", self._resync)
        super().close()

    async def look(self) -> None:
        """Show the present rooms, whoever joined or left them."""
        self._show()

    async def join(self, room_id: str) -> bool:
        """Join a room, as the field does.

        Parameters
        ----------
        room_id : str
            Name of the room.

        Returns
        -------
        bool
            False if the room was joined already.

        Raises
        ------
        RequestRefused, TimeoutError, NotConnected
            As for `RoomManager.join_room`.
        """
        joined = await self._manager.join_room(room_id)
        self._show()
        self.say(f"joined {text_of(room_id)}" if joined else f"in {text_of(room_id)} already")
        return joined

    async def leave(self, room_id: str) -> bool:
        """Leave a room, as its button does; return False if it was left already."""
        try:
            left = await self._manager.leave_room(room_id)
        finally:
            self._show()
        self.say(f"left {text_of(room_id)}" if left else f"not in {text_of(room_id)}")
        return left

    async def act(self, content: dict[str, Any]) -> None:
        """Join or leave a room; a join is answered, so that a refused name stays in the field."""
        match content:
            case {"action": "join", "room": str(room_id)}:
                if not room_id.strip():
                    raise ValueError("write the name of a room first")
                await self.join(room_id.strip())
                self.send({"kind": "joined", "room": room_id})
            case {"action": "leave", "room": str(room_id)}:
                await self.leave(room_id)
            case _:
                pass  # a newer front end may send other messages

    def _show(self) -> None:
        manager = self._manager
        stats = manager.conn.stats
        if manager.closed:  # the last state stays readable
            self.connection = "closed: this is what was seen last"
            return
        self._seen = {room_id: self._seen.get(room_id, _Seen()) for room_id in manager}
        shown: list[dict[str, Any]] = []
        for room_id, seen in self._seen.items():
            place = stats.rooms.get(room_id)
            users = manager.active_users(room_id) if manager.is_in(room_id) else ()
            shown.append(
                {
                    "id": room_id,
                    "name": text_of(room_id)[:_NAME],
                    "users": [text_of(user)[:_NAME] for user in users],
                    "epoch": text_of(place.epoch or "")[:_NAME] if place is not None else "",
                    "offset": place.offset if place is not None else None,
                    "count": seen.count,
                    "lines": list(seen.lines),
                }
            )
        names = [room["id"] for room in shown]
        if not self.code or names != [room["id"] for room in self.rooms]:
            self.code = rooms_code(manager.conn, names or ["lobby"])
        self.connection, self.rooms = stats.state, shown

    def _take(self, message: Message) -> None:
        room_id = message.room_id
        if room_id is None or room_id not in self._manager or message.type in RESERVED_TYPES:
            return
        seen = self._seen.setdefault(room_id, _Seen())
        text = text_of(message.payload)
        kind = "" if message.type == "chat" else f"{text_of(message.type)} "
        # The author is the client id that the server states: a payload could claim any name.
        seen.add(f"{kind}{text}", text_of(message.client_id or "somebody")[:_NAME], message.offset)

    def _resync(self, event: Resync) -> None:
        if event.room_id is not None and event.room_id in self._manager:
            self._seen.setdefault(event.room_id, _Seen()).add(f"messages may be missing here: {event.reason}")
