"""`use_websocket`: a connection as the state of a Reacton component; no message is lost between renders."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import reacton
import reacton.core

from rtlab.errors import ConnectFailed
from rtlab.hooks.one_render_per_frame import home_loop
from rtlab.hooks.shared_connections import ConnectionFactory, plain_connect
from rtlab.hooks.subscription import Callbacks, Subscription
from rtlab.hooks.unrendered_messages import Look
from rtlab.protocol.message_format import Message
from rtlab.protocol.urls import parse_url, shown

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.client.event_emitter import Connected, Disconnected, ErrorEvent

__all__ = ["WebSocketView", "check_url", "use_subscription", "use_websocket"]


class WebSocketView(msgspec.Struct, frozen=True, kw_only=True):
    """What a component sees of its connection in one render.

    Parameters
    ----------
    connection_status : str
        ``"Disconnected"``, ``"Connecting"``, ``"Connected"``, ``"Reconnecting"`` or ``"Closed"``.
    last_message : Message or None
        The newest message that the component wants to see.
    messages : tuple of Message
        The messages since the last completed render. Each message is in exactly one completed render.
    frame : int
        How many messages there were in all, including `messages`. Make it the dependency of an effect
        that handles `messages`, because two different lists may compare equal.
    value : any
        What ``select`` returned for the newest message; None without ``select``.
    error : str or None
        What went wrong, in one sentence; None again after a connect.
    send_message : callable
        ``send_message(type, payload, room_id=…, delivery=…)``. The same function in every
        render. Its result may be awaited; an error is also shown in `error`.
    connection : Connection or None
        The connection itself, for everything else: `request`, `join_room`, `stats`. None while the
        component is not mounted or has no URL.
    """

    connection_status: str
    last_message: Message | None
    messages: tuple[Message, ...]
    frame: int
    value: Any
    error: str | None
    send_message: Callable[..., Any]
    connection: Connection | None


def check_url(url: object) -> str | None:
    """Return the URL if a connection can be made to it, or None for no connection yet.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> check_url(8000)
    Traceback (most recent call last):
    ...
    TypeError: expected a URL such as 'ws://host/ws', or None for no connection yet, got 8000
    """
    if url is None:
        return None
    if not isinstance(url, str):
        raise TypeError(
            f"expected a URL such as 'ws://host/ws', or None for no connection yet, got {shown(url)}"
        )
    try:
        parse_url(url, "ws://host/ws")
    except ConnectFailed as error:
        raise ValueError(str(error)) from None
    return url


def use_subscription(
    url: str | None,
    *,
    transport: str = "websocket",
    share: bool = False,
    connect: ConnectionFactory | None = None,
    look: Look | None = None,
    callbacks: Callbacks | None = None,
    options: dict[str, Any] | None = None,
    renders_messages: bool = True,
    place: Sequence[object] = (),
) -> Subscription:
    """Subscribe the component to its connection; a building block for other hooks.

    Parameters
    ----------
    url, transport, share, connect
        As for `use_websocket`.
    look : Look, optional
        Which messages the component wants to see; None: all.
    callbacks : Callbacks, optional
        The component's callbacks; None: none.
    options : dict, optional
        Options of the `Connection`.
    renders_messages : bool
        Whether a message causes a render.
    place : sequence
        Further values that identify the subscription: when one changes, a new subscription begins, as with
        a new URL.
    """
    url = check_url(url)
    make = connect if connect is not None else plain_connect(transport)
    loop = home_loop()
    tree = reacton.core.get_render_context()
    _, set_renders = reacton.use_state(0)

    def new_subscription() -> Subscription:
        return Subscription(
            loop, tree, lambda: set_renders(lambda n: n + 1), renders_messages=renders_messages
        )

    # A new URL makes a new subscription, so that messages of the former URL do not appear under the new one.
    # `connect` is no dependency: a lambda in the call is a new function in every render.
    here = [url, transport, share, *place]
    subscription = reacton.use_memo(new_subscription, here)

    def commit() -> None:
        subscription.feed.look = look or Look()
        subscription.callbacks = callbacks or Callbacks()

    def mount() -> Callable[[], None] | None:
        if url is None:
            return None
        key = (url, transport, id(connect)) if share else subscription
        return subscription.mount(key, make, url, options or {})

    reacton.use_effect(commit)
    reacton.use_effect(mount, [*here, id(subscription)])
    return subscription


def use_websocket(
    url: str | None,
    *,
    # Which messages to show
    filter: Callable[[Message], object] | None = None,
    select: Callable[[Message], Any] | None = None,
    # Callbacks
    on_message: Callable[[Message], object] | None = None,
    on_open: Callable[[Connected], object] | None = None,
    on_close: Callable[[Disconnected], object] | None = None,
    on_error: Callable[[ErrorEvent | Exception], object] | None = None,
    # The connection
    transport: str = "websocket",
    share: bool = False,
    should_reconnect: Callable[[Disconnected], object] | None = None,
    connect: ConnectionFactory | None = None,
    **options: Any,
) -> WebSocketView:
    """Use a connection in a Reacton component: it opens on mount, and closes on unmount.

    Parameters
    ----------
    url : str or None
        ``ws://host/ws``, or the server's base URL ``http://host`` for any transport; None for
        no connection yet. A new URL closes the former connection and opens another one.

    # Which messages to show
    filter : callable, optional
        Message → whether the component wants to see it. Other messages cause no render. None: all messages.
    select : callable, optional
        Message → the part that matters. A message whose part equals the part of the message before
        causes no render, and is not in `messages`.

    # Callbacks
    on_message, on_open, on_close, on_error : callable, optional
        Called at once, outside any render, and not awaited; any exception becomes the hook's ``error``.
        The functions of the newest render are used, so that none sees variables of an older render.

    # The connection
    transport : {"websocket", "sse", "longpoll", "webrtc"}
        The transport of the connection.
    share : bool
        Share one connection, and its heartbeat, with all components that have this URL and ``share=True``.
    should_reconnect : callable, optional
        `Disconnected` → whether to reconnect; the answer counts only if the close code allows a
        reconnect. A shared connection reconnects as long as one component wants it.
    connect : callable, optional
        Makes the connection in place of `transport`: ``connect(url, **options)``. For tests, and
        for the replay of a recorded run. Used only when the connection is made. Components that share
        a connection must pass the same function.
    **options
        Options of `Connection`: ``backoff``, ``heartbeat``, … Used only when the connection is made. A
        first connection attempt that fails is retried, unless ``retry_initial=False``.

    Returns
    -------
    WebSocketView

    Raises
    ------
    TypeError, ValueError
        If `url` is not a URL, the transport is unknown, or a callback is a coroutine function.
    InvalidState
        If no event loop is running.

    Notes
    -----
    Messages cause at most sixty renders a second; all components of a tree render together. `messages`
    holds everything that arrived between two renders; the ``lastMessage`` of React's hooks would hold
    only the last.

    Examples
    --------
    ::

        @reacton.component
        def Ticker(url):
            ws = use_websocket(url, filter=lambda m: m.type == "feed", share=True)
            total, set_total = reacton.use_state(0)
            reacton.use_effect(lambda: set_total(lambda n: n + len(ws.messages)), [ws.frame])
            return w.Label(value=f"{ws.connection_status}: {total} messages")
    """
    subscription = use_subscription(
        url,
        transport=transport,
        share=share,
        connect=connect,
        look=Look(filter, select),
        callbacks=Callbacks(on_message, on_open, on_close, on_error, should_reconnect),
        options=options,
    )
    feed = subscription.feed
    messages = feed.pending()
    frame = feed.taken + len(messages)
    # An effect runs only after a completed render, so an abandoned render takes no messages from the feed.
    reacton.use_effect(lambda: feed.commit(len(messages)), [frame, id(feed)])
    return WebSocketView(
        connection_status=subscription.status,
        last_message=messages[-1] if messages else feed.last,
        messages=messages,
        frame=frame,
        value=feed.value,
        error=feed.error,
        send_message=subscription.send_message,
        connection=subscription.connection,
    )
