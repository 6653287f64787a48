"""What a room's owner keeps: the numbers it gives, who waits for an answer, and what came already. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Final

from rtlab.protocol.messages import Message
from rtlab.server.brokers.base import BrokerFailed, Published

__all__ = ["UNKNOWN_EPOCH", "Answer", "Claim", "new_epoch", "term_of"]

#: Numbered messages whose place an owner remembers, for each room.
_REMEMBERED: Final = 4096

#: Takes what became of a message; None: this node is not the owner any more, ask again.
Answer = Callable[[Published | BrokerFailed | None], None]

#: A room whose owner has not said anything yet: older than every epoch.
UNKNOWN_EPOCH: Final = "0" * 12


def new_epoch(term: int) -> str:
    """Name a history so that a later one, with a higher term, compares greater as text.

    Examples
    --------
    >>> UNKNOWN_EPOCH < new_epoch(1) < new_epoch(2), term_of(new_epoch(17))
    (True, 17)
    """
    return f"{term:08x}{secrets.token_hex(2)}"


def term_of(epoch: str) -> int:
    """Return the term of an epoch; 0 for a name that is none."""
    try:
        return int(epoch[:8], 16)
    except ValueError:
        return 0


class Claim:
    """One life of a room, numbered by this node.

    Parameters
    ----------
    epoch : str
        Its name.
    offset : int
        The last number that another owner gave, whose work this one goes on with.
    messages : iterable of Message
        The newest of these, by which repeats are known.

    Attributes
    ----------
    offset : int
        The last number that was given.
    delivered : int
        The last that has come back.
    """

    def __init__(self, epoch: str, offset: int = 0, messages: Iterable[Message] = ()) -> None:
        self.epoch = epoch
        self.offset = self.delivered = offset
        self._waiting: dict[int, list[Answer]] = {}
        self._known: dict[tuple[str | None, str | None, int | None, str | None], int] = {}
        for message in messages:
            if message.stream is not None and message.offset is not None:
                self._known[_key(message)] = message.offset

    def add(self, message: Message, answer: Answer) -> bool:
        """Give a message its place; False for a repeat, which gets the answer of the first.

        Parameters
        ----------
        message : Message
            Those of an outbox are known by their sender, number and id, whichever node they came
            through.
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
        """How many messages have not come back yet."""
        return len(self._waiting)

    def came_back(self, offset: int) -> None:
        """Answer for a message that all nodes have been sent."""
        self.delivered = offset
        for answer in self._waiting.pop(offset, ()):
            answer(Published(self.epoch, offset))

    def give_up(self, reason: str) -> None:
        """Answer for all others: nobody knows whether they were delivered."""
        waiting, self._waiting = self._waiting, {}
        for answers in waiting.values():
            for answer in answers:
                answer(BrokerFailed(f"{reason}; it may have been published all the same"))


def _key(message: Message) -> tuple[str | None, str | None, int | None, str | None]:
    return message.client_id, message.stream, message.seq, message.id
