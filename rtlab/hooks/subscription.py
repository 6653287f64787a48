"""One component's subscription to a connection: its feed, its newest callbacks, and its renders."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Coroutine, Hashable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rtlab.client.connection import Connection
from rtlab.client.event_emitter import Connected, Disconnected, ErrorEvent
from rtlab.client.user_callback_errors import call, check_callback
from rtlab.errors import NotConnected, RtlabError, describe
from rtlab.hooks.one_render_per_frame import FrameClock, frame_clock
from rtlab.hooks.shared_connections import ConnectionFactory, SharedConnection, join
from rtlab.hooks.unrendered_messages import UnrenderedMessages
from rtlab.policies.state_machine_types import State
from rtlab.protocol.message_format import Message

if TYPE_CHECKING:
    from rtlab.client.delivery.receipt import Receipt

__all__ = ["Callbacks", "Subscription"]

_log: Final = logging.getLogger("rtlab")


class Callbacks(msgspec.Struct, frozen=True):
    """A component's callbacks, as its newest render passed them.

    Parameters
    ----------
    on_message, on_open, on_close, on_error : callable or None
        Called at once, on the connection's loop, outside any render.
    should_reconnect : callable or None
        `Disconnected` → whether to reconnect. Called after every disconnect; the answer counts only if the
        close code allows a reconnect.
    """

    on_message: Callable[[Message], object] | None = None
    on_open: Callable[[Connected], object] | None = None
    on_close: Callable[[Disconnected], object] | None = None
    on_error: Callable[[ErrorEvent | Exception], object] | None = None
    should_reconnect: Callable[[Disconnected], object] | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if (callback := getattr(self, name)) is not None:
                check_callback(callback, name)


class Subscription:
    """Listens to a `SharedConnection` on behalf of one component.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The event loop that the connection runs on.
    tree : context manager
        Collects the renders of the component's tree into one; see `Rendered`.
    render : callable
        Renders the component.
    renders_messages : bool
        Whether a message that the component wants to see causes a render.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tree: AbstractContextManager[object],
        render: Callable[[], object],
        *,
        renders_messages: bool = True,
    ) -> None:
        self.feed = UnrenderedMessages()
        self.callbacks = Callbacks()
        self.status = State.DISCONNECTED.value
        self.tree = tree
        self.render = render
        self.room: str | None = None
        self.is_open = False
        self._loop = loop
        self._clock: FrameClock = frame_clock(loop)
        self._link: SharedConnection | None = None
        self._renders_messages = renders_messages
        self._mounted = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connection(self) -> Connection | None:
        """The connection, while the component is mounted and has a URL."""
        return self._link.conn if self._link is not None else None

    # Mounting

    def mount(
        self, key: Hashable, connect: ConnectionFactory, url: str, options: Mapping[str, Any]
    ) -> Callable[[], None]:
        """Start listening; return a function that stops it. Both may be called from any thread."""
        self._mounted = True
        self._on_loop(self._join, key, connect, url, options)
        return lambda: self._on_loop(self._leave)

    def _join(self, key: Hashable, connect: ConnectionFactory, url: str, options: Mapping[str, Any]) -> None:
        self._link, error = call(join, key, connect, url, options, self)
        if self._link is not None:
            self._link.greet(self)
        elif error is not None:
            self.status = State.DISCONNECTED.value
            text = str(error) or describe(error)
            self.failed(text, error if isinstance(error, Exception) else RtlabError(text))

    def _leave(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.remove(self)
        self._mounted = False
        self.callbacks = Callbacks()  # a send that fails from now on calls no `on_error`
        self._clock.forget(self)
        for task in self._tasks:
            task.cancel()

    def _on_loop(self, function: Callable[..., None], *args: Any) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            function(*args)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    # Sending

    def send_message(
        self, type: str, payload: Any = None, **options: Any
    ) -> asyncio.Task[Receipt] | concurrent.futures.Future[Receipt]:
        """Start sending; await the result for the receipt. An error is also shown as the hook's `error`."""
        work = self._send(type, payload, options)
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not self._loop:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        task = self._loop.create_task(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the hook shows it
        return task

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine until the component unmounts; an error becomes the hook's `error`."""
        task = self._loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except (RtlabError, TimeoutError) as error:
            self.failed(str(error) or describe(error), error)

    async def _send(self, type: str, payload: Any, options: Mapping[str, Any]) -> Receipt:
        try:
            if self._link is None:
                raise NotConnected("the component has no connection: give use_websocket a URL first")
            return await self._link.send(type, payload, options)
        except Exception as error:
            self.failed(str(error) or describe(error), error)
            raise

    async def enter(self, room_id: str) -> None:
        """Join a room; the connection rejoins it after every reconnect."""
        if self.room is not None or self._link is None:
            return
        # Set before the join is sent: a component that leaves the room meanwhile must not make the shared
        # connection leave it.
        self.room = room_id
        try:
            await self._link.conn.join_room(room_id)
        except BaseException:
            self.room = None
            raise

    # Called by the link

    def message(self, message: Message) -> None:
        """Keep a message for the next render, if the component wants to see it."""
        if not self._mounted:
            return  # another component's handler of this same message has unmounted this one
        fresh = self.feed.put(message)
        if self.callbacks.on_message is not None and fresh:
            self._call(self.callbacks.on_message, message)
        if fresh and self._renders_messages:
            self._clock.ask(self)
        elif fresh:
            self.feed.commit(1)  # no render would take it: it must not be kept for one

    def opened(self, event: Connected) -> None:
        """Note that the connection is open."""
        self.feed.error = None
        if self._mounted:
            self.is_open = True
            self._call(self.callbacks.on_open, event)

    def closed(self, event: Disconnected) -> None:
        """Note that an open connection has ended."""
        self.is_open = False
        if self._mounted:
            self._call(self.callbacks.on_close, event)

    def failed(self, error: str, event: ErrorEvent | Exception) -> None:
        """Show an error as the hook's `error`, and call ``on_error``."""
        self.feed.error = error
        self._ask()
        self._call(self.callbacks.on_error, event)

    def moved(self, status: str) -> None:
        """Show the connection's new state."""
        if status != self.status:
            self.status = status
            self._ask()

    def reconnects(self, event: Disconnected) -> bool:
        """Return whether the component wants to reconnect; if its callback raises, it does."""
        if self.callbacks.should_reconnect is None:
            return True
        wanted, error = call(self.callbacks.should_reconnect, event)
        if error is None:
            wanted, error = call(bool, wanted)  # an array of numpy has no truth value
        if error is not None:
            self._note(error)
        return error is not None or bool(wanted)

    def _call(self, callback: Callable[[Any], object] | None, value: object) -> None:
        if callback is not None:
            _, error = call(callback, value)
            if error is not None:
                self._note(error)

    def _note(self, error: BaseException) -> None:
        self.feed.error = f"a callback of the component raised {describe(error)}"
        _log.warning("%s", self.feed.error)
        self._ask()

    def _ask(self) -> None:
        if self._mounted:
            self._clock.ask(self)
