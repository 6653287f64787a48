"""What a connection tells its owner, and the small emitter that does the telling."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import msgspec

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

#: Names that only the connection itself may emit: a message of such a type from the
#: wire reaches the ``"*"`` handlers and iterators, never these names' handlers.
LOCAL_EVENTS: Final = frozenset(
    {"connected", "disconnected", "moved", "reconnecting", "resync", "error", "*"}
)


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """A connection is open: messages flow from now on.

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
    """An open connection goes on over another transport; nothing was lost, and nothing is repeated.

    Parameters
    ----------
    at : float
        Seconds on the monotonic clock.
    former, transport : str
        Names of the transport before and now.
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
        The close code, 1006 when there was none.
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
        Why the last one ended.
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
        The room, or None for the session's direct messages.
    epoch : str or None
        The history that is valid now.
    offset : int or None
        The room's position now.
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
        ``"server"`` (an ``error`` message), ``"handler"`` (yours raised),
        ``"codec"`` (a frame that could not be read) or ``"connect"``.
    message : str
        One sentence.
    code : str
        The stable word for programs.
    error : BaseException or None
        The exception, when there is one.
    ref : str or None
        The id of the message that caused it.
    """

    at: float
    source: str
    message: str
    code: str = ""
    error: BaseException | None = None
    ref: str | None = None


def event_fields(event: object) -> dict[str, Any]:
    """Return what an event says beside its time, as JSON can say it; nothing of what is no event of ours."""
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
        The names that have handlers, always the present ones.

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
        if not callable(handler):
            raise TypeError(f"a handler is a function of one argument, got {handler!r:.80}")
        if inspect.iscoroutinefunction(handler):
            raise TypeError(
                f"a handler is called and not awaited, got the coroutine function {handler!r:.80}: make it a "
                "plain function, or read the messages with `async for`"
            )
        # Tuples, so that a handler may add or remove handlers while they are called.
        self._handlers[name] = (*self._handlers.get(name, ()), (handler, once))

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Forget one handler of `name`, or all of them. An unknown one is no error."""
        left = tuple(e for e in self._handlers.get(name, ()) if handler is not None and e[0] != handler)
        if left:
            self._handlers[name] = left
        else:
            self._handlers.pop(name, None)

    def _remove(self, name: str, entry: tuple[Handler, bool]) -> None:
        """Take out one entry, and no other of the same handler."""
        left = tuple(other for other in self._handlers.get(name, ()) if other is not entry)
        if left:
            self._handlers[name] = left
        else:
            self._handlers.pop(name, None)

    def emit(self, name: str, value: Any) -> list[BaseException]:
        """Call the handlers of `name`; return what they raised.

        A handler that an earlier one removes is not called any more. An exception of any
        class counts as the handler's own (a ``CancelledError`` too: handlers are not
        awaited, so no cancellation of ours can reach them), but for ``KeyboardInterrupt``
        and ``SystemExit``, which get through at once.

        Parameters
        ----------
        name : str
            The event.
        value : any
            What each handler is called with.

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
                    cast("Coroutine[Any, Any, Any]", result).close()
                    raise TypeError(
                        f"a handler of {name!r} returned a coroutine, which nobody awaits: start a task in "
                        "it (asyncio.create_task), or read the messages with `async for`"
                    )
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                raised.append(error)
        return raised


class Listenable:
    """What calls handlers: the part of a connection that its owner listens with."""

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
            Synchronous. One that raises, whatever it raises, becomes an ``error``
            event, and so does one that returns a coroutine. ``KeyboardInterrupt`` and
            ``SystemExit`` get through, and end the connection.
        """
        self._emitter.on(name, handler)

    def once(self, name: str, handler: Handler) -> None:
        """As `on`, for the next time only."""
        self._emitter.once(name, handler)

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Forget one handler of `name`, or all of them."""
        self._emitter.off(name, handler)
