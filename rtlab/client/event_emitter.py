"""The events of a connection, and the emitter that calls their handlers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import msgspec

from rtlab.client.user_callback_errors import check_callback, refuse_coroutine

__all__ = [
    "LOCAL_EVENTS",
    "Connected",
    "Disconnected",
    "Emitter",
    "ErrorEvent",
    "Handler",
    "Listenable",
    "Moved",
    "Reconnecting",
    "Resync",
    "event_fields",
]

Handler = Callable[[Any], object]

_HINT: Final = "start a task in a plain function (asyncio.create_task), or read the messages with `async for`"

#: Names that only the connection itself may emit. A received message of such a type reaches
#: the ``"*"`` handlers and iterators, but never the handlers of these names.
LOCAL_EVENTS: Final = frozenset(
    {"connected", "disconnected", "moved", "reconnecting", "resync", "error", "*"}
)


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """A connection has opened: messages can be sent and received from now on.

    Parameters
    ----------
    at : float
        Seconds on the monotonic clock.
    attempt : int
        0 on a first connect, else the number of the retry that succeeded.
    transport : str
        ``"websocket"``, ``"sse"``, ``"longpoll"`` or ``"webrtc"``.
    resumed : bool
        Whether the server continued the former session.
    connect_time : float
        Seconds from the start of the attempt until the connection was usable.
    """

    at: float
    attempt: int = 0
    transport: str = ""
    resumed: bool = False
    connect_time: float = 0.0


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """An open connection continues over another transport; no message is lost or repeated.

    Parameters
    ----------
    at : float
        Seconds on the monotonic clock.
    former, transport : str
        The names of the former and of the present transport.
    """

    at: float
    former: str
    transport: str


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """An open connection ended.

    Parameters
    ----------
    at : float
        Seconds on the monotonic clock.
    code : int
        The close code; 1006 if the peer sent none.
    reason : str
        What the peer said, or what happened.
    clean : bool
        Whether the closing handshake completed.
    will_reconnect : bool
        Whether an attempt is scheduled.
    """

    at: float
    code: int = 1006
    reason: str = ""
    clean: bool = False
    will_reconnect: bool = False


class Reconnecting(msgspec.Struct, frozen=True, kw_only=True):
    """A new attempt is scheduled.

    Parameters
    ----------
    at : float
        Seconds on the monotonic clock.
    attempt : int
        Number of the retry, from 1.
    delay : float
        Seconds until it starts.
    reason : str
        Why the last attempt or connection ended.
    """

    at: float
    attempt: int
    delay: float
    reason: str = ""


class Resync(msgspec.Struct, frozen=True, kw_only=True):
    """Messages were missed and cannot be replayed: load a fresh snapshot.

    Parameters
    ----------
    at : float
        Seconds on the monotonic clock.
    room_id : str or None
        The room; None for the session's direct messages.
    epoch : str or None
        The name of the room's present history; None if the server did not say.
    offset : int or None
        The room's present offset in that history; None if the server did not say.
    reason : str
        Why the gap could not be filled.
    """

    at: float
    room_id: str | None = None
    epoch: str | None = None
    offset: int | None = None
    reason: str = ""


class ErrorEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something went wrong that did not end the connection by itself.

    Parameters
    ----------
    at : float
        Seconds on the monotonic clock.
    source : str
        ``"server"`` (an ``error`` message came, or a message was refused), ``"handler"`` (a handler
        raised), ``"codec"`` (a message could not be decoded or encoded), ``"schema"`` (a payload
        violates its schema) or ``"connect"``.
    message : str
        One sentence for people.
    code : str
        The machine-readable error code; empty without one.
    error : BaseException or None
        The exception, if there is one.
    ref : str or None
        The id of the message that caused the error, if known.
    """

    at: float
    source: str
    message: str
    code: str = ""
    error: BaseException | None = None
    ref: str | None = None


def event_fields(event: object) -> dict[str, Any]:
    """Return an event's fields that JSON can express, without its time; {} for any other object."""
    names: tuple[str, ...] = getattr(event, "__struct_fields__", ())
    return {
        name: value
        for name in names
        if name not in ("at", "error") and (value := getattr(event, name)) not in (None, "")
    }


class Emitter:
    """Calls handlers by name, in the order in which they were added.

    Attributes
    ----------
    names : keys view
        A live view of the names that have handlers.

    Examples
    --------
    >>> emitter = Emitter()
    >>> emitter.on("chat", print)
    >>> emitter.emit("chat", "hi")
    hi
    []
    """

    __slots__ = ("_handlers", "names")

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[tuple[Handler, bool], ...]] = {}
        self.names = self._handlers.keys()

    def on(self, name: str, handler: Handler) -> None:
        """Call `handler(value)` whenever `name` is emitted."""
        self._add(name, handler, once=False)

    def once(self, name: str, handler: Handler) -> None:
        """Call `handler(value)` the next time `name` is emitted, then forget it."""
        self._add(name, handler, once=True)

    def _add(self, name: str, handler: Handler, *, once: bool) -> None:
        check_callback(handler, "a handler", _HINT)
        # Tuples, so that a handler may add or remove handlers while they are called.
        self._handlers[name] = (*self._handlers.get(name, ()), (handler, once))

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Remove one handler of `name`, or all of them. An unknown handler is no error."""
        left = tuple(e for e in self._handlers.get(name, ()) if handler is not None and e[0] != handler)
        if left:
            self._handlers[name] = left
        else:
            self._handlers.pop(name, None)

    def _remove(self, name: str, entry: tuple[Handler, bool]) -> None:
        """Remove this entry only, even if the same handler was added more than once."""
        left = tuple(other for other in self._handlers.get(name, ()) if other is not entry)
        if left:
            self._handlers[name] = left
        else:
            self._handlers.pop(name, None)

    def emit(self, name: str, value: Any) -> list[BaseException]:
        """Call the handlers of `name`; return the exceptions that they raised.

        A handler that an earlier handler removes is not called any more. Exceptions of every
        class are collected (``CancelledError`` too: handlers are not awaited, so a
        cancellation of the caller's task cannot arise in them). Only ``KeyboardInterrupt``
        and ``SystemExit`` propagate at once.

        Parameters
        ----------
        name : str
            The event.
        value : any
            The argument of each handler.

        Returns
        -------
        list of BaseException
            Empty when every handler returned. A handler that returned a coroutine counts
            as one that raised `TypeError`: nobody would await it.
        """
        entries = self._handlers.get(name)
        if entries is None:
            return []
        raised: list[BaseException] = []
        for entry in entries:
            present = self._handlers.get(name, ())
            if present is not entries and not any(other is entry for other in present):
                continue  # removed meanwhile
            handler, once = entry
            if once:
                self._remove(name, entry)
            try:
                result = handler(value)
                if result is not None and isinstance(result, Coroutine):
                    refuse_coroutine(cast("object", result), f"a handler of {name!r}", _HINT)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                raised.append(error)
        return raised


class Listenable:
    """The part of a connection that adds and removes event handlers."""

    _emitter: Emitter

    def on(self, name: str, handler: Handler) -> None:
        """Call `handler(value)` on each `name`.

        Parameters
        ----------
        name : str
            A message type (the value is the `Message`), ``"*"`` for every
            message, or ``"connected"``, ``"disconnected"``, ``"reconnecting"``,
            ``"moved"``, ``"resync"``, ``"error"`` (the value is the event of that name).
        handler : callable
            A synchronous function of one argument. Any exception that it raises becomes an
            ``error`` event, and so does a returned coroutine. ``KeyboardInterrupt`` and
            ``SystemExit`` propagate, and end the connection.
        """
        self._emitter.on(name, handler)

    def once(self, name: str, handler: Handler) -> None:
        """Like `on`, but call the handler only the next time."""
        self._emitter.once(name, handler)

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Remove one handler of `name`, or all of them."""
        self._emitter.off(name, handler)
