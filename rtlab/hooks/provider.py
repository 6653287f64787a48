"""`WebSocketProvider`: one connection and one reducer for a whole tree of Reacton components."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeArgument=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import reacton
import reacton.core
import reacton.ipywidgets

from rtlab.errors import InvalidState
from rtlab.hooks.reducer import Action, Reducer, WebSocketState, action_of, websocket_reducer
from rtlab.hooks.render_queue import Look
from rtlab.hooks.render_throttle import frame_clock, home_loop
from rtlab.hooks.shared_connections import Connect
from rtlab.hooks.store import Store, Watcher
from rtlab.hooks.subscription import Callbacks
from rtlab.hooks.use_websocket import use_subscription
from rtlab.protocol.messages import Message

if TYPE_CHECKING:
    from rtlab.client.events import Connected, Disconnected

__all__ = ["WebSocketContext", "WebSocketProvider", "use_websocket_context"]

#: What the server says to the connection; an error is in the state's `error`.
_ANSWERS: Final = frozenset({"ack", "error", "pong", "welcome"})
_STORE: reacton.core.UserContext[Store | None] = reacton.create_context(None, "rtlab WebSocketProvider")


class WebSocketContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a component under a provider sees.

    Parameters
    ----------
    state : WebSocketState
        All of it, as of this render.
    value : any
        What ``select`` gave; without one, the state.
    send_message : callable
        As `use_websocket`'s, the same in every render.
    store : Store
        Its ``actions`` and ``base``, for a replay.
    """

    state: WebSocketState
    value: Any
    send_message: Callable[..., Any]
    store: Store

    @property
    def is_connected(self) -> bool:
        """Whether messages flow."""
        return self.state.is_connected

    @property
    def messages(self) -> tuple[Message, ...]:
        """The newest messages, oldest first."""
        return self.state.messages

    @property
    def active_users(self) -> tuple[str, ...]:
        """Who is in the room."""
        return self.state.active_users

    @property
    def error(self) -> str | None:
        """What is wrong, in one sentence."""
        return self.state.error


@reacton.component
def WebSocketProvider(  # noqa: N802  a component
    url: str | None,
    children: Sequence[Any] = (),
    *,
    room_id: str | None = None,
    reducer: Reducer = websocket_reducer,
    max_messages: int = 100,
    max_actions: int = 1_000,
    transport: str = "websocket",
    share: bool = False,
    connect: Connect | None = None,
    filter: Callable[[Message], object] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Give the components below one connection and its state; see `use_websocket_context`.

    Parameters
    ----------
    url, transport, share, connect, filter
        As for `use_websocket`.
    children : sequence of Element
        The components below.
    room_id : str, optional
        A room to enter, and to see alone.
    reducer : callable
        ``(state, action) → state``; `websocket_reducer`, or one that calls it.
    max_messages, max_actions : int
        Messages in the state, and actions that are kept for a replay.
    options : dict, optional
        For the connection.

    Examples
    --------
    ::

        @reacton.component
        def Users():
            return w.Label(value=", ".join(use_websocket_context(select=lambda s: s.active_users).value))

        reacton.render(WebSocketProvider(lab.ws_url, [Users()], room_id="lobby"))
    """
    clock = frame_clock(home_loop())

    def new_store() -> Store:
        return Store(clock, reducer, WebSocketState(max_messages=max_messages), max_actions=max_actions)

    place = [room_id, max_messages, max_actions]
    store = reacton.use_memo(new_store, [url, *place])
    store.reducer = reducer

    def opened(event: Connected) -> None:
        store.dispatch(Action("CONNECT"))
        if room_id is not None:
            subscription.spawn(subscription.enter(room_id))

    def closed(event: Disconnected) -> None:
        reason = (
            None if event.code == 1000 else f"closed with {event.code}: {event.reason}".removesuffix(": ")
        )
        store.dispatch(Action("DISCONNECT", reason))

    def seen(message: Message) -> bool:
        ours = room_id is None or message.room_id == room_id
        return ours and message.type not in _ANSWERS and (filter is None or bool(filter(message)))

    subscription = use_subscription(
        url,
        transport=transport,
        share=share,
        connect=connect,
        look=Look(seen),
        callbacks=Callbacks(
            on_message=lambda message: store.dispatch(action_of(message)),
            on_open=opened,
            on_close=closed,
            on_error=lambda event: store.fail(str(getattr(event, "message", event))),
        ),
        options=options,
        renders_messages=False,
        place=place,
    )
    store.send = subscription.send_message
    _STORE.provide(store)
    return reacton.ipywidgets.VBox(children=list(children))


def use_websocket_context(select: Callable[[WebSocketState], Any] | None = None) -> WebSocketContext:
    """Use the state of the provider above.

    Parameters
    ----------
    select : callable, optional
        State → what the component looks at: it renders only when that has changed.

    Returns
    -------
    WebSocketContext

    Raises
    ------
    InvalidState
        Without a provider above.
    """
    store = reacton.use_context(_STORE)
    if store is None:
        raise InvalidState(
            "a WebSocketProvider above the component", "none", "put the component into its children"
        )
    tree = reacton.core.get_render_context()
    _, set_renders = reacton.use_state(0)

    def new_watcher() -> Watcher:
        return Watcher(store, tree, lambda: set_renders(lambda n: n + 1))

    watcher = reacton.use_memo(new_watcher, [id(store)])
    watcher.select = select or (lambda state: state)
    reacton.use_effect(lambda: store.watch(watcher), [id(watcher)])
    value = watcher.look()
    return WebSocketContext(state=store.state, value=value, send_message=store.send, store=store)
