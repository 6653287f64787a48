"""`use_websocket`: a connection as the state of a Reacton component; no message is lost between renders."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import reacton
import reacton.core

from rtlab.hooks.render_queue import Look
from rtlab.hooks.render_throttle import home_loop
from rtlab.hooks.shared_connections import Connect, plain_connect
from rtlab.hooks.subscription import Callbacks, Subscription
from rtlab.protocol.messages import Message

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.client.events import Connected, Disconnected, ErrorEvent

__all__ = ["WebSocketView", "check_url", "use_subscription", "use_websocket"]


class WebSocketView(msgspec.Struct, frozen=True, kw_only=True):
    """What a component sees of its connection in one render.

    Parameters
    ----------
    connection_status : str
        ``"Disconnected"``, ``"Connecting"``, ``"Connected"``, ``"Reconnecting"`` or ``"Closed"``.
    last_message : Message or None
        The newest that the component looks at.
    messages : tuple of Message
        Those that came since the last render that was completed: each is in exactly one.
    frame : int
        Grows with each list that is not empty. The dependency of an effect that handles
        `messages`: two lists may be equal.
    value : any
        What ``select`` gave for the newest message.
    error : str or None
        What is wrong, in one sentence; None after a connect.
    send_message : callable
        ``send_message(type, payload, room_id=…, delivery=…)``. The same function in every
        render. It may be awaited; an error that nobody awaits is in `error`.
    connection : Connection or None
        For all else: `request`, `join_room`, `stats`.
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
    """Return a URL, or None for none yet.

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
            f"expected a URL such as 'ws://host/ws', or None for no connection yet, got {url!r:.80}"
        )
    if not url.startswith(("ws://", "wss://", "http://", "https://")):
        raise ValueError(
            f"expected a URL that begins with ws:// or http://, or their s forms, got {url!r:.80}"
        )
    return url


def use_subscription(
    url: str | None,
    *,
    transport: str = "websocket",
    share: bool = False,
    connect: Connect | None = None,
    look: Look | None = None,
    callbacks: Callbacks | None = None,
    options: dict[str, Any] | None = None,
    renders_messages: bool = True,
    place: Sequence[object] = (),
) -> Subscription:
    """Subscribe the component to its connection; for hooks that build on it.

    Parameters
    ----------
    url, transport, share, connect
        As for `use_websocket`.
    look : Look, optional
        What the component looks at.
    callbacks : Callbacks, optional
        Its functions.
    options : dict, optional
        For the connection.
    renders_messages : bool
        Whether messages are a reason to render.
    place : sequence
        Another one gives another subscription, as another URL does.
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

    # Another URL begins afresh: nothing of the former one is shown under the new one's name.
    # `connect` is no reason to: written in place, it is another function in every render.
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
    # What to look at
    filter: Callable[[Message], object] | None = None,
    select: Callable[[Message], Any] | None = None,
    # Called at once
    on_message: Callable[[Message], object] | None = None,
    on_open: Callable[[Connected], object] | None = None,
    on_close: Callable[[Disconnected], object] | None = None,
    on_error: Callable[[ErrorEvent | Exception], object] | None = None,
    # The connection
    transport: str = "websocket",
    share: bool = False,
    should_reconnect: Callable[[Disconnected], object] | None = None,
    connect: Connect | None = None,
    **options: Any,
) -> WebSocketView:
    """Use a connection in a Reacton component; it opens with the component, and closes with it.

    Parameters
    ----------
    url : str or None
        ``ws://host/ws``, or the server's base URL ``http://host`` for any transport; None for
        no connection yet. Another URL closes the former connection and begins afresh.

    # What to look at
    filter : callable, optional
        Message → whether the component sees it. Others cause no render.
    select : callable, optional
        Message → what matters of it. A message for which it gives the same as for the one
        before causes no render, and is not listed.

    # Called at once
    on_message, on_open, on_close, on_error : callable, optional
        Always those of the newest render, so that none sees variables of an old one.

    # The connection
    transport : {"websocket", "sse", "longpoll", "webrtc"}
        What carries the messages.
    share : bool
        Use one connection, with one heartbeat, for all components with this URL that share it.
    should_reconnect : callable, optional
        `Disconnected` → whether to come back, where the close code allows it at all. Of a shared
        connection, it comes back as long as one component wants it.
    connect : callable, optional
        Makes the connection in place of `transport`: ``connect(url, **options)``. For tests, and
        for the replay of a recorded run. Read when the connection is made; those who share give the
        same function.
    **options
        As for `Connection`: ``backoff``, ``heartbeat``, … Read when the connection is made. A first
        connect that fails is retried, unless ``retry_initial=False``.

    Returns
    -------
    WebSocketView

    Raises
    ------
    TypeError, ValueError
        For what is no URL, and an unknown transport.
    InvalidState
        Without a running event loop.

    Notes
    -----
    At most sixty renders a second are caused by messages; all components of a tree render
    together. What came meanwhile is in `messages`: React's own ``lastMessage`` state would hold the
    last only.

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
    # An effect runs only when the render is complete: one that is given up takes nothing.
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
