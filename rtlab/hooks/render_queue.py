"""What one component has not rendered yet of its connection: messages in order, and none lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from rtlab.errors import describe
from rtlab.protocol.messages import Message

__all__ = ["Feed", "Look"]

_NOTHING: Final = object()


class Look(msgspec.Struct, frozen=True):
    """What a component looks at.

    Parameters
    ----------
    filter : callable or None
        Message → whether the component sees it; None shows all.
    select : callable or None
        Message → what of it matters; one that gives the same as the one before is not shown.
    """

    filter: Callable[[Message], object] | None = None
    select: Callable[[Message], Any] | None = None


class Feed:
    """Keeps messages from their arrival until a render that showed them is complete.

    Parameters
    ----------
    look : Look
        Decides what is kept.

    Attributes
    ----------
    last : Message or None
        The newest of those kept.
    value : any
        What ``select`` gave for it; None without.
    error : str or None
        What is wrong, in one sentence.
    taken : int
        Messages that complete renders have shown.

    Examples
    --------
    >>> feed = Feed(Look(filter=lambda message: message.type == "chat"))
    >>> [feed.put(Message(kind)) for kind in ("chat", "tick", "chat")]
    [True, False, True]
    >>> len(feed.pending()), len(feed.pending())  # a render that comes to nothing takes none
    (2, 2)
    >>> feed.commit(2)
    >>> feed.pending()
    ()
    """

    def __init__(self, look: Look | None = None) -> None:
        self.look = look or Look()
        self.last: Message | None = None
        self.value: Any = None
        self.error: str | None = None
        self.taken = 0
        self._pending: list[Message] = []
        self._before: Any = _NOTHING

    def put(self, message: Message) -> bool:
        """Keep a message, if the component looks at it; return whether there is something to render.

        A ``filter`` or ``select`` that raises hides nothing: the message is kept, and `error` says why.
        """
        look = self.look
        if look.filter is not None or look.select is not None:
            try:
                if look.filter is not None and not look.filter(message):
                    return False
                if look.select is not None:
                    value = look.select(message)
                    if self._before is not _NOTHING and bool(value == self._before):
                        return False
                    self._before = self.value = value
            except Exception as error:
                self.error = f"filter or select raised {describe(error)} on a {message.type!r} message"
        self.last = message
        self._pending.append(message)
        return True

    def pending(self) -> tuple[Message, ...]:
        """Return what no complete render has shown yet, oldest first."""
        return tuple(self._pending)

    def commit(self, count: int) -> None:
        """Forget the oldest `count`: a render that showed them is complete."""
        del self._pending[:count]
        self.taken += count
