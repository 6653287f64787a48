"""Where a client stands in the streams that it follows, without any I/O.

A session numbers everything that it sends to one client, implicitly: the first
message after ``welcome`` has ``welcome.seq + 1``, and so on. A room numbers what
is published in it, explicitly: ``epoch`` and a dense ``offset``. Both survive a
lost connection, so both can be resumed, and every repeat and gap can be seen.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rtlab.messages import Message

__all__ = ["Position", "Resume", "RoomPosition", "Verdict"]

Verdict = Literal["new", "repeat", "gap"]


class Resume(msgspec.Struct, frozen=True):
    """Where a new transport continues.

    Parameters
    ----------
    client_id : str or None
        The durable name of this client.
    session : str or None
        The session to continue, None for a new one.
    seq : int
        Messages of that session already handled.
    cursor : str or None
        The last opaque token, on transports that have one.
    """

    client_id: str | None = None
    session: str | None = None
    seq: int = 0
    cursor: str | None = None


class RoomPosition(msgspec.Struct):
    """One room's history and the offsets received and handled."""

    epoch: str | None
    received: int
    handled: int


class Position:
    """What has been received, and what has been handled, of each stream.

    Parameters
    ----------
    client_id : str or None
        The durable name of this client, None to let the server choose.

    Examples
    --------
    >>> position = Position()
    >>> position.enter("r", "e1", 4)
    >>> position.accept(Message("chat", room_id="r", epoch="e1", offset=5))
    'new'
    >>> position.accept(Message("chat", room_id="r", epoch="e1", offset=5))
    'repeat'
    >>> position.accept(Message("chat", room_id="r", epoch="e1", offset=9))
    'gap'
    """

    def __init__(self, client_id: str | None = None) -> None:
        self.client_id = client_id
        self.session: str | None = None
        self.received = 0
        self.handled = 0
        self.cursor: str | None = None
        self.rooms: dict[str, RoomPosition] = {}

    def resume(self) -> Resume:
        """Return where the next transport continues: after what was handled."""
        return Resume(self.client_id, self.session, self.handled, self.cursor)

    def begin(self, client_id: str, session: str, seq: int) -> None:
        """Start (or continue) a session at `seq`."""
        if session != self.session:
            self.cursor = None
        self.client_id, self.session = client_id, session
        self.received = self.handled = seq

    def enter(self, room_id: str, epoch: str | None, offset: int) -> None:
        """Follow a room from `offset` on."""
        self.rooms[room_id] = RoomPosition(epoch, offset, offset)

    def leave(self, room_id: str) -> None:
        """Stop following a room."""
        self.rooms.pop(room_id, None)

    def accept(self, message: Message) -> Verdict:
        """Note that a message arrived, and say whether it was expected.

        Parameters
        ----------
        message : Message
            Any message; those without a room's offset are always ``"new"``.

        Returns
        -------
        {"new", "repeat", "gap"}
            ``"gap"`` means that messages before this one are missing.
        """
        room_id, offset = message.room_id, message.offset
        if room_id is None or offset is None:
            return "new"
        room = self.rooms.get(room_id)
        if room is None:
            self.enter(room_id, message.epoch, offset - 1)
            room = self.rooms[room_id]
        if message.epoch != room.epoch:
            room.epoch, room.received, room.handled = message.epoch, offset, offset - 1
            return "gap"
        if offset <= room.received:
            return "repeat"
        expected = room.received + 1
        room.received = offset
        return "new" if offset == expected else "gap"

    def settle(self, message: Message, seq: int, cursor: str | None) -> None:
        """Note that a message has been handled: a resume continues after it.

        Parameters
        ----------
        message : Message
            What was handled.
        seq : int
            Its number in the session.
        cursor : str or None
            The token that came with it.
        """
        self.handled = seq
        # None too: an older token would lead back behind messages of a transport without tokens.
        self.cursor = cursor
        if message.room_id is not None and message.offset is not None:
            room = self.rooms.get(message.room_id)
            if room is not None and room.epoch == message.epoch:
                room.handled = max(room.handled, message.offset)
