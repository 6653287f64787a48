"""A WebSocket as a page sees it: events are told in tasks of their own, and the ready state changes there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from websockets.frames import Close

from rtlab.client.user_callback_errors import call
from rtlab.testing.mock.dom_argument_checks import (
    EVENTS,
    DOMError,
    DomEvent,
    EventListener,
    ReadyState,
    check_page_close,
)
from rtlab.testing.mock.mock_frames import Item

__all__ = ["PageEvents"]


class PageEvents:
    """Ready state, listeners and methods of a page's WebSocket; a subclass adds the network.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The event loop; each of its callbacks stands for one task of the page.

    Attributes
    ----------
    on_open, on_message, on_error, on_close : callable or None
        As a page's ``onopen`` and so on; called with an `DomEvent`, before other listeners.
    buffered_amount : int
        Bytes that `page_send` has accepted and the network has not taken yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.on_open: EventListener | None = None
        self.on_message: EventListener | None = None
        self.on_error: EventListener | None = None
        self.on_close: EventListener | None = None
        self.buffered_amount = 0
        self._ready = ReadyState.CONNECTING
        self._listeners: dict[str, list[EventListener]] = {}
        self._tasks: deque[Callable[[], None]] = deque()
        self._page_loop = loop

    @property
    def ready_state(self) -> ReadyState:
        """The browser's ``readyState``: it changes in a task of its own, with the event."""
        return self._ready

    @property
    def listens(self) -> bool:
        """Whether there is a listener for messages."""
        return self.on_message is not None or "message" in self._listeners

    def add_event_listener(self, type: str, listener: EventListener) -> None:
        """Call `listener(event)` for events of this type, after the ``on_…`` attribute.

        As in a page, a listener that was added already is not added again.
        """
        if type not in EVENTS:
            raise ValueError(f"expected one of {', '.join(EVENTS)}, got {type!r}")
        listeners = self._listeners.setdefault(type, [])
        if listener not in listeners:
            listeners.append(listener)

    def remove_event_listener(self, type: str, listener: EventListener) -> None:
        """Remove a listener; an unknown one is ignored, as in a page."""
        if listener in self._listeners.get(type, ()):
            self._listeners[type].remove(listener)

    # As a page does it

    def page_send(self, data: str | bytes) -> None:
        """Do what ``ws.send(data)`` does in a page.

        Raises
        ------
        DOMError
            ``InvalidStateError`` in CONNECTING. From CLOSING on, data is discarded silently, and only
            `buffered_amount` grows.
        """
        if self._ready is ReadyState.CONNECTING:
            raise DOMError("InvalidStateError", "it is still in CONNECTING state")
        size = len(data.encode() if isinstance(data, str) else data)
        self.buffered_amount += size
        if self._ready is ReadyState.OPEN and self._page_can_write():
            self._task(lambda: self._hand_over(data, size))

    def _hand_over(self, data: str | bytes, size: int) -> None:
        if self._page_can_write():
            self.buffered_amount -= size
            self._up(data)

    def page_close(self, code: int | None = None, reason: str = "") -> None:
        """Do what ``ws.close(code, reason)`` does in a page: it returns at once.

        Raises
        ------
        DOMError
            ``InvalidAccessError`` unless the code is 1000 or 3000–4999; ``SyntaxError`` for
            more than 123 bytes of reason.
        """
        check_page_close(code, reason)
        if self._ready in (ReadyState.CLOSING, ReadyState.CLOSED):
            return
        if self._ready is ReadyState.CONNECTING:
            self._ready = ReadyState.CLOSING
            self._fail()
            return
        self._ready = ReadyState.CLOSING
        # In a task, so that data sent before leaves before the close frame.
        frame = Close(code if code is not None else 1005 if not reason else 1000, reason)
        self._task(lambda: self._begin_closing(frame))

    # Implemented by the subclass with the network

    def _page_can_write(self) -> bool:
        raise NotImplementedError

    def _up(self, item: Item) -> None:
        raise NotImplementedError

    def _begin_closing(self, frame: Close) -> None:
        raise NotImplementedError

    def _fail(self) -> None:
        """Fail the connection (RFC 6455 §7.1.7) before it opened."""
        raise NotImplementedError

    # Events

    def _task(self, run: Callable[[], None]) -> None:
        self._tasks.append(run)
        self._page_loop.call_soon(self._run_task)

    def _run_task(self) -> None:
        self._tasks.popleft()()

    def _tell_open(self) -> None:
        if self._ready is ReadyState.CONNECTING:
            self._ready = ReadyState.OPEN
            self._fire(DomEvent("open"))

    def _tell_message(self, data: str | bytes) -> None:
        if self._ready is ReadyState.OPEN:
            self._fire(DomEvent("message", data))

    def _set_closing(self) -> None:
        if self._ready is not ReadyState.CLOSED:
            self._ready = ReadyState.CLOSING

    def _tell_close(self, code: int, reason: str, *, clean: bool, failed: bool) -> None:
        self._ready = ReadyState.CLOSED
        if failed:
            self._fire(DomEvent("error"))
        self._fire(DomEvent("close", code=code, reason=reason, was_clean=clean))

    def _fire(self, event: DomEvent) -> None:
        first: EventListener | None = getattr(self, f"on_{event.type}")
        listeners = self._listeners.get(event.type, [])
        # DOM §2.9, invoke and inner invoke: of those that listen now, each that is not removed meanwhile.
        before = tuple(listeners)
        if first is not None:
            self._tell(first, event)
        for listener in before:
            if listener in listeners:
                self._tell(listener, event)

    def _tell(self, listener: EventListener, event: DomEvent) -> None:
        """Call a listener; as in a page, one that throws does not stop the others."""
        _, error = call(listener, event)
        if error is not None:
            self._page_loop.call_exception_handler(
                {"message": f"a listener of {event.type!r} raised", "exception": error}
            )
