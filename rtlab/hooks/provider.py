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

from rtlab.client.user_callback_errors import call, check_callback
from rtlab.errors import InvalidState, describe
from rtlab.hooks.one_render_per_frame import frame_clock, home_loop
from rtlab.hooks.shared_connections import ConnectionFactory
from rtlab.hooks.state_store_and_watchers import Store, Watcher
from rtlab.hooks.subscription import Callbacks
from rtlab.hooks.unrendered_messages import Look
from rtlab.hooks.use_websocket import use_subscription
from rtlab.hooks.websocket_reducer import Action, Reducer, WebSocketState, action_of, websocket_reducer
from rtlab.protocol.message_format import Message

if TYPE_CHECKING:
    from rtlab.client.event_emitter import Connected, Disconnected

__all__ = ["WebSocketContext", "WebSocketProvider", "use_websocket_context"]

#: Types of the messages that the server addresses to the connection itself. They do not enter the state's
#: `messages`; an error arrives in the state's `error`.
_ANSWERS: Final = frozenset({"ack", "error", "pong", "welcome"})
_STORE: reacton.core.UserContext[Store | None] = reacton.create_context(None, "rtlab WebSocketProvider")


class WebSocketContext(msgspec.Struct, frozen=True, kw_only=True):
    """What `use_websocket_context` returns to a component below a provider.

    Parameters
    ----------
    state : WebSocketState
        The whole state, as of this render.
    value : any
        What ``select`` returned; the whole state without ``select``.
    send_message : callable
        As that of `use_websocket`; the same in every render.
    store : Store
        The provider's store. `rtlab.hooks.websocket_reducer.replay` plays its ``actions`` again, from
        ``base`` on.
    """

    state: WebSocketState
    value: Any
    send_message: Callable[..., Any]
    store: Store

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self.state.is_connected

    @property
    def messages(self) -> tuple[Message, ...]:
        """The newest messages, oldest first."""
        return self.state.messages

    @property
    def active_users(self) -> tuple[str, ...]:
        """Names of the users in the room."""
        return self.state.active_users

    @property
    def error(self) -> str | None:
        """What went wrong, in one sentence; None if nothing did."""
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
    connect: ConnectionFactory | None = None,
    filter: Callable[[Message], object] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Give all components below it one connection and one state; see `use_websocket_context`.

    Parameters
    ----------
    url, transport, share, connect, filter
        As for `use_websocket`.
    children : sequence of Element
        The components below the provider.
    room_id : str, optional
        A room to join; the state then shows only messages of this room. None joins no room and shows all
        messages.
    reducer : callable
        ``(state, action) → state``; `websocket_reducer`, or one that calls it.
    max_messages, max_actions : int
        How many messages the state keeps, and how many actions the store keeps for a replay.
    options : dict, optional
        Options of the connection; see `use_websocket`.

    Examples
    --------
    ::

        @reacton.component
        def Users():
            return w.Label(value=", ".join(use_websocket_context(select=lambda s: s.active_users).value))

        reacton.render(WebSocketProvider(lab.ws_url, [Users()], room_id="lobby"))
    """
    if filter is not None:
        check_callback(filter, "filter")
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
        if not ours or message.type in _ANSWERS:
            return False
        if filter is None:
            return True
        wanted, error = call(filter, message)
        if error is None:
            wanted, error = call(bool, wanted)
        if error is not None:  # as in `use_websocket`, the message is shown all the same
            store.fail(f"filter raised {describe(error)} on a {message.type!r} message")
        return error is not None or bool(wanted)

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
            on_error=lambda event: store.fail(subscription.feed.error or str(event)),
        ),
        options=options,
        renders_messages=False,
        place=place,
    )
    store.send = subscription.send_message
    _STORE.provide(store)
    return reacton.ipywidgets.VBox(children=list(children))


def use_websocket_context(select: Callable[[WebSocketState], Any] | None = None) -> WebSocketContext:
    """Use the state of the nearest provider above the component.

    Parameters
    ----------
    select : callable, optional
        State → the part that the component shows. The component renders only when this part has changed.
        None: the whole state.

    Returns
    -------
    WebSocketContext

    Raises
    ------
    InvalidState
        If there is no provider above the component.
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
