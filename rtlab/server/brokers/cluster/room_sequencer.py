"""The sequencer of a room: assigns offsets to its messages, and notes which came back. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Final

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.room_publishing_interface import BrokerFailed, Published

__all__ = ["UNKNOWN_EPOCH", "PublishCallback", "RoomSequencer", "new_epoch", "term_of"]

#: Messages of outboxes whose offset an owner remembers, for each room, to recognise repeats.
_REMEMBERED: Final = 4096

#: Called with the result of a publish; None if this node cannot act as the owner: the publisher retries.
PublishCallback = Callable[[Published | BrokerFailed | None], None]

#: Epoch of a room whose owner has not answered yet; it compares less than every other epoch.
UNKNOWN_EPOCH: Final = "0" * 12


def new_epoch(term: int) -> str:
    """Return a new epoch's name; an epoch with a higher term compares greater as text.

    Examples
    --------
    >>> UNKNOWN_EPOCH < new_epoch(1) < new_epoch(2), term_of(new_epoch(17))
    (True, 17)
    """
    return f"{term:08x}{secrets.token_hex(2)}"


def term_of(epoch: str) -> int:
    """Return the term of an epoch; 0 for a text that is no epoch."""
    try:
        return int(epoch[:8], 16)
    except ValueError:
        return 0


class RoomSequencer:
    """One epoch of a room, whose messages this node numbers.

    Parameters
    ----------
    epoch : str
        The epoch's name.
    offset : int
        The last offset that a former owner has assigned in this epoch; 0 for a new epoch.
    messages : iterable of Message
        The former owner's newest messages, to recognise repeats.

    Attributes
    ----------
    offset : int
        The last offset that was assigned.
    delivered : int
        The last offset that has come back from the carrier.
    """

    def __init__(self, epoch: str, offset: int = 0, messages: Iterable[Message] = ()) -> None:
        self.epoch = epoch
        self.offset = self.delivered = offset
        self._waiting: dict[int, list[PublishCallback]] = {}
        self._known: dict[tuple[str | None, str | None, int | None, str | None], int] = {}
        for message in messages:
            if message.stream is not None and message.offset is not None:
                self._known[_key(message)] = message.offset

    def add(self, message: Message, answer: PublishCallback) -> bool:
        """Give a message its epoch and offset; return False for a repeat, which gets the first one's answer.

        Parameters
        ----------
        message : Message
            The message. A repeat from an outbox is recognised by its sender, number and id, whichever
            node forwards it.
        answer : callable
            Called when the message has come back through the carrier.
        """
        numbered = message.stream is not None
        key = _key(message)
        if numbered and (former := self._known.get(key)) is not None:
            if former in self._waiting:
                self._waiting[former].append(answer)
            else:
                answer(Published(self.epoch, former))
            return False
        self.offset += 1
        message.epoch, message.offset = self.epoch, self.offset
        self._waiting[self.offset] = [answer]
        if numbered:
            self._known[key] = self.offset
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return True

    @property
    def waiting(self) -> int:
        """How many messages have not come back from the carrier yet."""
        return len(self._waiting)

    def came_back(self, offset: int) -> None:
        """Note that a message has come back from the carrier, and answer its publishers."""
        self.delivered = offset
        for answer in self._waiting.pop(offset, ()):
            answer(Published(self.epoch, offset))

    def give_up(self, reason: str) -> None:
        """Fail all messages that have not come back: it is unknown whether they were delivered."""
        waiting, self._waiting = self._waiting, {}
        for answers in waiting.values():
            for answer in answers:
                answer(BrokerFailed(f"{reason}; it may have been published all the same"))


def _key(message: Message) -> tuple[str | None, str | None, int | None, str | None]:
    return message.client_id, message.stream, message.seq, message.id
