"""Where a client stands in the streams that it follows, without any I/O.

A session numbers everything that it sends to one client, implicitly: the first
message after ``welcome`` has ``welcome.seq + 1``, and so on. A room numbers what
is published in it, explicitly: ``epoch`` and a dense ``offset``. Both survive a
lost connection, so both can be resumed, and every repeat and gap can be seen.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

import msgspec

from rtlab.protocol.messages import Message
from rtlab.protocol.session_resume import Resume

__all__ = ["REPEAT_WINDOW", "NewestNames", "Position", "Receipt", "RoomPosition", "Verdict"]

#: So many of the newest numbered messages are known by their sender and id: one that comes again,
#: because a server that has restarted does not know that it was handled, is dropped.
REPEAT_WINDOW: Final = 4096

Verdict = Literal["new", "repeat", "gap"]


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What one message brought along: its session, its number in it, the cursor that came with it."""

    session: str | None
    seq: int
    cursor: str | None


class RoomPosition(msgspec.Struct):
    """One room's history, and the last offset that has come.

    Parameters
    ----------
    epoch : str or None
        Which history.
    received : int
        The offset.
    session : str or None
        In which session the server said that this client is a member.
    """

    epoch: str | None
    received: int
    session: str | None = None


class Position:
    """What has been received, and what has been handled, of each stream.

    Parameters
    ----------
    client_id : str or None
        The durable name of this client, None to let the server choose.

    Attributes
    ----------
    received, handled, confirmed : int
        Number of the last message of the session that was received, that was handled,
        and that the server may have forgotten.
    confirming : bool
        Whether receiving a message confirms it to the server, as a poll's next cursor does.

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
        self.confirmed = 0
        self.confirming = False
        self.cursor: str | None = None
        self.rooms: dict[str, RoomPosition] = {}
        self.leaving: set[str] = set()  # left in this session, and the server has not said that it knows
        self._repeated = 0

    def resume(self) -> Resume:
        """Return where the next transport continues: after the last message that was handled.

        Or after the last that was confirmed, if that is later: the server has forgotten those.
        """
        if self.confirmed > self.handled:
            return Resume(self.client_id, self.session, self.confirmed)
        return Resume(self.client_id, self.session, self.handled, self.cursor)

    def begin(self, client_id: str | None, session: str, seq: int) -> None:
        """Start a session at `seq`."""
        if session != self.session:
            self.cursor = None
        self.leaving.clear()  # a new session is in no room
        self.client_id, self.session = client_id, session
        self.received = self.handled = self.confirmed = seq
        self._repeated = 0
        for room in self.rooms.values():
            room.session = None

    def go_on(self, after: int) -> None:
        """Continue the session behind a message.

        The server sends again what was received but not yet handled (it waits in an open
        iterator, say): `count` drops that many messages.

        Parameters
        ----------
        after : int
            Number of the last message that the server does not send again. More than what
            `resume` asked for may have been handled by now.
        """
        self._repeated = max(0, self.received - after)

    def count(self, cursor: str | None) -> Receipt | None:
        """Number a frame, readable or not; None if it was received before the reconnect."""
        if self._repeated:
            self._repeated -= 1
            return None
        self.received += 1
        if self.confirming:
            self.confirmed = self.received
        return Receipt(self.session, self.received, cursor)

    def enter(self, room_id: str, epoch: str | None, offset: int) -> None:
        """Follow a room from `offset` on."""
        self.leaving.discard(room_id)
        self.rooms[room_id] = RoomPosition(epoch, offset, self.session)

    def unconfirmed(self) -> list[str]:
        """Return the rooms of which the server has not said in this session that this client is a member."""
        return [room_id for room_id, room in self.rooms.items() if room.session != self.session]

    def leave(self, room_id: str, *, unheard: bool = False) -> None:
        """Stop following a room; `unheard` if the server may not know, and is to be told when it is back."""
        self.rooms.pop(room_id, None)
        if unheard and self.session is not None:
            self.leaving.add(room_id)

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
        if room is None and room_id in self.leaving:
            return "repeat"
        if room is None:
            self.enter(room_id, message.epoch, offset - 1)
            room = self.rooms[room_id]
        if message.epoch != room.epoch:
            room.epoch, room.received = message.epoch, offset
            return "gap"
        if offset <= room.received:
            return "repeat"
        expected = room.received + 1
        room.received = offset
        return "new" if offset == expected else "gap"

    def skip(self, room_id: str, epoch: object, first: object, last: object) -> Verdict:
        """Note that messages of a room will not come: the server's policy for slow clients dropped them.

        Parameters
        ----------
        room_id : str
            The room; one that is not followed has no place to move.
        epoch : str
            Its history.
        first, last : int
            The first and the last of them.

        Returns
        -------
        {"new", "repeat", "gap"}
            As `accept`: ``"gap"`` means that more than these are missing.
        """
        room = self.rooms.get(room_id)
        if not isinstance(first, int) or not isinstance(last, int) or room is None:
            return "new"
        if epoch != room.epoch or last <= room.received:
            return "repeat"
        gap = first > room.received + 1
        room.received = last
        return "gap" if gap else "new"

    def settle(self, receipt: Receipt) -> None:
        """Note that a message has been handled: a resume continues after it.

        One of an earlier session changes nothing, nor does one from before the
        last that was handled: two iterators may be read in any order.

        Parameters
        ----------
        receipt : Receipt
            Where the message stands.
        """
        if receipt.session == self.session and receipt.seq > self.handled:
            # A cursor of None replaces the former one too, which would resume too early.
            self.handled, self.cursor = receipt.seq, receipt.cursor


class NewestNames:
    """Knows the newest messages by their sender and id, across sessions and histories of rooms.

    Parameters
    ----------
    size : int
        How many.

    Examples
    --------
    >>> names = NewestNames(2)
    >>> [names.again("ada", ident) for ident in ("1", "2", "1", "3", "4", "1")]
    [False, False, True, False, False, False]
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # A plain dict looks for its first entry behind all that were deleted there: 3 µs in 4,096 names.
        self._names: OrderedDict[tuple[str | None, str], None] = OrderedDict()

    def again(self, sender: str | None, ident: str | None) -> bool:
        """Whether a message has come before; one without an id never has."""
        if ident is None:
            return False
        name = (sender, ident)
        if name in self._names:
            return True
        self._names[name] = None
        if len(self._names) > self._size:
            self._names.popitem(last=False)
        return False
