"""Connections of components: one each, or one that several share; the last to unmount closes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Protocol

from rtlab.client.client_factory_by_transport import check_transports, make_client
from rtlab.client.connection import Connection
from rtlab.client.delivery.receipt import Receipt
from rtlab.client.event_emitter import Connected, Disconnected, ErrorEvent, Reconnecting
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.user_callback_errors import refuse_coroutine
from rtlab.errors import NotConnected, RtlabError, describe
from rtlab.policies.state_machine_types import State
from rtlab.protocol.message_format import Message
from rtlab.protocol.urls import parse_url, shown

__all__ = [
    "ConnectionFactory",
    "ConnectionListener",
    "SharedConnection",
    "hooks_settled",
    "join",
    "open_links",
    "plain_connect",
]

_log: Final = logging.getLogger("rtlab")

#: A function that makes a connection from a URL and options, and does not open it.
ConnectionFactory = Callable[..., Connection]


class ConnectionListener(Protocol):
    """What a `SharedConnection` calls to tell one component about the connection.

    Attributes
    ----------
    room : str or None
        The room that the component has joined, or is about to join.
    is_open : bool
        Whether the listener was told that the connection is open, and not yet that it has ended.
    reconnects : callable
        Returns whether the component wants a reconnect after a `Disconnected`. The connection
        reconnects if at least one of its listeners wants it.
    """

    room: str | None
    is_open: bool

    def message(self, message: Message) -> None: ...
    def opened(self, event: Connected) -> None: ...
    def closed(self, event: Disconnected) -> None: ...
    def failed(self, error: str, event: ErrorEvent | Exception) -> None: ...
    def moved(self, status: str) -> None: ...
    def reconnects(self, event: Disconnected) -> bool: ...


def plain_connect(transport: str) -> ConnectionFactory:
    """Return a function that makes connections over one transport.

    Parameters
    ----------
    transport : {"websocket", "sse", "longpoll", "webrtc"}
        The transport of the connections.

    Raises
    ------
    ValueError
        If the transport is unknown.
    """
    check_transports((transport,))

    def connect(url: str, **options: Any) -> Connection:
        # A component may be shown before its server is up: the connection keeps trying.
        options = {"retry_initial": True, "max_reconnect_attempts": None, **options}
        if parse_url(url).scheme in ("ws", "wss"):
            if transport != "websocket":
                raise ValueError(
                    f"expected the server's base URL, http://host, for {transport}, got {shown(url)}"
                )
            return WebSocketConnection(url, **options)
        return make_client(transport, url, **options)

    return connect


class SharedConnection:
    """One connection and the components that listen to it.

    Parameters
    ----------
    registry : Registry
        The registry that holds this link.
    key : hashable
        The link's key in the registry.
    connect : ConnectionFactory
        Makes the connection.
    url : str
        The URL to connect to.
    options : mapping
        Options of the `Connection`.
    """

    def __init__(
        self,
        registry: _Registry,
        key: Hashable,
        connect: ConnectionFactory,
        url: str,
        options: Mapping[str, Any],
    ) -> None:
        self.options = dict(options)
        self.listeners: tuple[ConnectionListener, ...] = ()
        made = connect(url, **options)
        refuse_coroutine(made, "connect", "return a Connection that is not open yet")
        self.conn = made
        self._connect_with = connect  # keys may hold id(connect): this reference keeps the id from reuse
        self._opened_by: Connected | None = None
        self._registry = registry
        self._key = key
        self._leaving: asyncio.Handle | None = None
        self._handlers: dict[str, Callable[[Any], None]] = {
            "*": self._message,
            "connected": self._opened,
            "disconnected": self._closed,
            "reconnecting": self._waits,
            "error": self._erred,
        }
        for name, handler in self._handlers.items():
            self.conn.on(name, handler)
        self._task = registry.spawn(self._connect())

    @property
    def status(self) -> str:
        """The connection's state as a word, such as ``"Connected"``."""
        state = self.conn.state
        # The connecting task starts one loop turn later; until then the state is still DISCONNECTED.
        return (
            State.CONNECTING.value if state is State.DISCONNECTED and not self._task.done() else state.value
        )

    def add(self, listener: ConnectionListener) -> None:
        """Add a listener, and cancel a close that is pending because the last one had left."""
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self.listeners = (*self.listeners, listener)
        listener.moved(self.status)

    def greet(self, listener: ConnectionListener) -> None:
        """Tell a component that joins an open connection that it is open."""
        if self._opened_by is not None and self.conn.state is State.CONNECTED:
            listener.opened(self._opened_by)

    def remove(self, listener: ConnectionListener) -> None:
        """Remove a listener; if it was told that the connection is open, tell it that it has ended."""
        if listener not in self.listeners:
            return
        self.listeners = tuple(one for one in self.listeners if one is not listener)
        if listener.is_open:
            now = asyncio.get_running_loop().time()
            listener.closed(Disconnected(at=now, code=1000, reason="the component was unmounted", clean=True))
        if not self.listeners:
            # Close one loop turn later: a component that is mounted in this one's place keeps the connection.
            self._leaving = asyncio.get_running_loop().call_soon(self._end)
        elif listener.room is not None and all(one.room != listener.room for one in self.listeners):
            self._registry.spawn(self._leave_room(listener.room))

    async def send(self, type: str, payload: Any, options: Mapping[str, Any]) -> Receipt:
        """Send over the connection."""
        return await self.conn.send(type, payload, **options)

    def _end(self) -> None:
        self._registry.drop(self._key, self)
        for name, handler in self._handlers.items():
            self.conn.off(name, handler)
        self._registry.spawn(self._close())

    async def _connect(self) -> None:
        try:
            await self.conn.connect()
        except (RtlabError, OSError, ValueError, TypeError) as failed:
            error = failed
            self._tell(lambda one: one.failed(str(error) or describe(error), error))
            self._tell(lambda one: one.moved(self.conn.state.value))

    async def _close(self) -> None:
        try:
            await self.conn.close()
        except RtlabError as error:
            _log.warning("closing a component's connection: %s", error)
        await asyncio.wait((self._task,))

    async def _leave_room(self, room_id: str) -> None:
        with contextlib.suppress(RtlabError, TimeoutError):  # even a failed leave prevents the next rejoin
            await self.conn.leave_room(room_id)

    # Events of the connection

    def _message(self, message: Message) -> None:
        for listener in self.listeners:
            listener.message(message)

    def _opened(self, event: Connected) -> None:
        self._opened_by = event
        self._tell(lambda one: one.moved(State.CONNECTED.value))
        self._tell(lambda one: one.opened(event))

    def _closed(self, event: Disconnected) -> None:
        wanted: list[bool] = []  # of all: any() over a generator would skip listeners
        self._tell(lambda one: wanted.append(one.reconnects(event)))
        again = event.will_reconnect and any(wanted)
        self._tell(lambda one: one.moved(State.RECONNECTING.value if again else self.conn.state.value))
        self._tell(lambda one: one.closed(event))
        if event.will_reconnect and not again:
            self._registry.spawn(self._stay_away())
        elif not again and event.code != 1000:
            text = f"closed with {event.code}: {event.reason}".removesuffix(": ")
            self._tell(lambda one: one.failed(text, NotConnected(text)))

    async def _stay_away(self) -> None:
        await self.conn.close()
        self._tell(lambda one: one.moved(self.conn.state.value))

    def _waits(self, event: Reconnecting) -> None:
        self._tell(lambda one: one.moved(State.RECONNECTING.value))

    def _erred(self, event: ErrorEvent) -> None:
        self._tell(lambda one: one.failed(event.message, event))
        self._tell(lambda one: one.moved(self.status))

    def _tell(self, what: Callable[[ConnectionListener], None]) -> None:
        listeners = self.listeners
        for listener in listeners:
            if self.listeners is not listeners and all(listener is not one for one in self.listeners):
                continue  # an earlier one's callback has unmounted it
            what(listener)


class _Registry:
    """The links of one event loop, and the tasks that connect and close them."""

    def __init__(self) -> None:
        self.links: dict[Hashable, SharedConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(
        self,
        key: Hashable,
        connect: ConnectionFactory,
        url: str,
        options: Mapping[str, Any],
        listener: ConnectionListener,
    ) -> SharedConnection:
        link = self.links.get(key)
        if link is None:
            link = self.links[key] = SharedConnection(self, key, connect, url, options)
        elif link.options != dict(options):
            names = sorted(
                name for name in {*link.options, *options} if link.options.get(name) != options.get(name)
            )
            raise ValueError(
                f"this URL is shared already, with another {' and '.join(names)}: give every component that "
                "shares it the same options, or this one share=False"
            )
        link.add(listener)
        return link

    def drop(self, key: Hashable, link: SharedConnection) -> None:
        if self.links.get(key) is link:
            del self.links[key]

    def spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a component's connection raised %s", describe(error))

    async def settled(self) -> None:
        await asyncio.sleep(0)  # links whose last listener left in this turn begin to close in the next
        while self._tasks:
            await asyncio.wait(self._tasks)


_REGISTRIES: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Registry]] = (
    weakref.WeakKeyDictionary()
)


def _registry() -> _Registry:
    return _REGISTRIES.setdefault(asyncio.get_running_loop(), _Registry())


def join(
    key: Hashable,
    connect: ConnectionFactory,
    url: str,
    options: Mapping[str, Any],
    listener: ConnectionListener,
) -> SharedConnection:
    """Let a component listen to the connection with this key; make the connection if there is none.

    Parameters
    ----------
    key : hashable
        Equal for components that share one connection.
    connect, url, options
        As for `SharedConnection`; used only if the connection has to be made.
    listener : ConnectionListener
        Told about the connection from now on.

    Raises
    ------
    ValueError
        If the connection is shared already, with other options.
    """
    return _registry().join(key, connect, url, options, listener)


def open_links() -> int:
    """Return how many connections components hold on the running loop."""
    return len(_registry().links)


async def hooks_settled(timeout: float = 10.0) -> None:
    """Wait until every connection without a component is closed, and none is still connecting.

    Parameters
    ----------
    timeout : float
        Seconds to wait at most; then `TimeoutError` is raised.
    """
    async with asyncio.timeout(timeout):
        await _registry().settled()
