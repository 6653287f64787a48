"""Tracks how far a client has received its session's and rooms' messages; finds repeats and gaps. No I/O.

A session implicitly numbers every message that the server sends to one client: the
first after ``welcome`` has the number ``welcome.seq + 1``, and so on. A room numbers
its messages explicitly, by ``epoch`` and a dense ``offset``. Both numberings survive a
lost connection, so both can be resumed, and every repeat and gap can be detected.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

import msgspec

from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume

__all__ = ["REPEAT_WINDOW", "MessageNumbers", "NewestNames", "Novelty", "Position", "RoomProgress"]

#: How many of the newest messages from numbered outboxes are remembered by sender and id, to drop duplicates:
#: a restarted server has forgotten which messages it handled, and publishes a retransmitted one again.
REPEAT_WINDOW: Final = 4096

Novelty = Literal["new", "repeat", "gap"]


class MessageNumbers(msgspec.Struct, frozen=True, gc=False):
    """One received message's session, its number in that session, and the cursor that came with it."""

    session: str | None
    seq: int
    cursor: str | None


class RoomProgress(msgspec.Struct):
    """The position in one room: the name of its history and the last received offset.

    Parameters
    ----------
    epoch : str or None
        The name of the room's history; a new epoch starts the offsets anew.
    received : int
        The last offset that was received.
    session : str or None
        The session in which the server last confirmed this client's membership.
    """

    epoch: str | None
    received: int
    session: str | None = None


class Position:
    """How far this client has received and handled its session's and its rooms' messages.

    Parameters
    ----------
    client_id : str or None
        The durable name of this client; None lets the server choose one.

    Attributes
    ----------
    received, handled, confirmed : int
        Numbers of the session's last messages: the last one received, the last one handled, and
        the last one confirmed to the server, which may have discarded all up to it.
    confirming : bool
        Whether receiving a message confirms it to the server, as the cursor of the next long poll does.

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
        self.rooms: dict[str, RoomProgress] = {}
        self.leaving: set[str] = set()  # left in this session, but the server has not acknowledged it
        self._repeated = 0

    def resume(self) -> Resume:
        """Return where the next transport resumes: after the last message that was handled.

        If a later message was confirmed, resume after that one: the server has discarded those before.
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
        """Continue the session after a given message.

        The server sends messages again that were received but not handled when the resume was
        requested, for example because they wait in an open iterator. `count` drops that many.

        Parameters
        ----------
        after : int
            Number of the last message that the server does not send again. Since `resume` was
            called, messages after that one may have been handled.
        """
        self._repeated = max(0, self.received - after)

    def count(self, cursor: str | None) -> MessageNumbers | None:
        """Number a received frame, decodable or not; None if it was received before the reconnect."""
        if self._repeated:
            self._repeated -= 1
            return None
        self.received += 1
        if self.confirming:
            self.confirmed = self.received
        return MessageNumbers(self.session, self.received, cursor)

    def enter(self, room_id: str, epoch: str | None, offset: int) -> None:
        """Follow a room from `offset` on."""
        self.leaving.discard(room_id)
        self.rooms[room_id] = RoomProgress(epoch, offset, self.session)

    def unconfirmed(self) -> list[str]:
        """Return the rooms whose membership the server has not confirmed in this session."""
        return [room_id for room_id, room in self.rooms.items() if room.session != self.session]

    def leave(self, room_id: str, *, unheard: bool = False) -> None:
        """Stop following a room; `unheard`: the server did not acknowledge it, so the leave is repeated."""
        self.rooms.pop(room_id, None)
        if unheard and self.session is not None:
            self.leaving.add(room_id)

    def accept(self, message: Message) -> Novelty:
        """Record that a message arrived, and return whether it is new, a repeat, or follows a gap.

        Parameters
        ----------
        message : Message
            Any message; a message without a room's offset is always ``"new"``.

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

    def skip(self, room_id: str, epoch: object, first: object, last: object) -> Novelty:
        """Record that the server dropped messages of a room, by its policy for slow consumers.

        Parameters
        ----------
        room_id : str
            The room; nothing happens if this client does not follow it.
        epoch : str
            The name of the room's history.
        first, last : int
            The first and the last dropped offset.

        Returns
        -------
        {"new", "repeat", "gap"}
            As for `accept`; ``"gap"`` means that messages before `first` are missing, too.
        """
        room = self.rooms.get(room_id)
        if not isinstance(first, int) or not isinstance(last, int) or room is None:
            return "new"
        if epoch != room.epoch or last <= room.received:
            return "repeat"
        gap = first > room.received + 1
        room.received = last
        return "gap" if gap else "new"

    def settle(self, receipt: MessageNumbers) -> None:
        """Record that a message has been handled, so that a resume continues after it.

        A message of an earlier session changes nothing. Neither does a message before the
        last one that was handled: two iterators may be read in any order.

        Parameters
        ----------
        receipt : MessageNumbers
            The message's place in its session.
        """
        if receipt.session == self.session and receipt.seq > self.handled:
            # The cursor is replaced even by None: the former cursor would resume too early.
            self.handled, self.cursor = receipt.seq, receipt.cursor


class NewestNames:
    """Remembers the newest messages by sender and id, across sessions and room histories.

    Parameters
    ----------
    size : int
        How many messages to remember.

    Examples
    --------
    >>> names = NewestNames(2)
    >>> [names.again("ada", ident) for ident in ("1", "2", "1", "3", "4", "1")]
    [False, False, True, False, False, False]
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # To find its first entry, a plain dict walks past all deleted ones: 3 µs with 4,096 names.
        self._names: OrderedDict[tuple[str | None, str], None] = OrderedDict()

    def again(self, sender: str | None, ident: str | None) -> bool:
        """Return whether a message is remembered, and remember it; False for a message without an id."""
        if ident is None:
            return False
        name = (sender, ident)
        if name in self._names:
            return True
        self._names[name] = None
        if len(self._names) > self._size:
            self._names.popitem(last=False)
        return False
