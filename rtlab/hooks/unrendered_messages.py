"""Buffers one component's messages, in order and without loss, until a completed render has shown them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from rtlab.client.user_callback_errors import call, check_callback, refuse_coroutine
from rtlab.errors import describe
from rtlab.protocol.message_format import Message

__all__ = ["Look", "UnrenderedMessages", "same"]

_NOTHING: Final = object()


def same(a: object, b: object) -> bool:
    """Return whether two selected parts are the same; parts that cannot be compared are different.

    Parameters
    ----------
    a, b : any
        What ``select`` returned. The comparison of two arrays of numpy, for example, has no truth value.

    Examples
    --------
    >>> same(1, 1.0), same("a", "b")
    (True, False)
    """
    if a is b:
        return True
    equal, _ = call(lambda: bool(a == b))
    return equal is True


class Look(msgspec.Struct, frozen=True):
    """Which messages a component wants to see.

    Parameters
    ----------
    filter : callable or None
        Message → whether the component wants to see it; None shows all messages.
    select : callable or None
        Message → the part that matters. A message whose part equals the part of the message before is
        not shown. None shows every message.
    """

    filter: Callable[[Message], object] | None = None
    select: Callable[[Message], Any] | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if (function := getattr(self, name)) is not None:
                check_callback(function, name)


class UnrenderedMessages:
    """Keeps messages from their arrival until a render that shows them has completed.

    Parameters
    ----------
    look : Look
        Decides which messages are kept; None keeps all.

    Attributes
    ----------
    last : Message or None
        The newest message that was kept.
    value : any
        What ``select`` returned for the newest message; None without ``select``.
    error : str or None
        What went wrong, in one sentence; None if nothing did.
    taken : int
        How many messages completed renders have shown.

    Examples
    --------
    >>> feed = UnrenderedMessages(Look(filter=lambda message: message.type == "chat"))
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
        """Keep a message if the component wants to see it; return whether it was kept.

        If ``filter`` or ``select`` raises, the message is kept all the same, and `error` shows the exception.
        """
        look = self.look
        if look.filter is not None or look.select is not None:
            try:
                if look.filter is not None:
                    wanted = look.filter(message)
                    refuse_coroutine(wanted, "filter")
                    if not wanted:
                        return False
                if look.select is not None:
                    value = look.select(message)
                    refuse_coroutine(value, "select")
                    before, self._before, self.value = self._before, value, value
                    if same(value, before):
                        return False
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # as in `call`: CancelledError too is the user's own
                self.error = f"filter or select raised {describe(error)} on a {message.type!r} message"
        self.last = message
        self._pending.append(message)
        return True

    def pending(self) -> tuple[Message, ...]:
        """Return the messages that no completed render has shown yet, oldest first."""
        return tuple(self._pending)

    def commit(self, count: int) -> None:
        """Forget the oldest `count` messages: a completed render has shown them."""
        del self._pending[:count]
        self.taken += count
