"""`websocket_reducer`: a pure function from a connection's events to state, so that a run can be replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, cast, get_args

import msgspec

from rtlab.client.user_callback_errors import call
from rtlab.protocol.message_format import Message

__all__ = [
    "ACTIONS",
    "Action",
    "ActionType",
    "Reducer",
    "WebSocketState",
    "action_of",
    "reduced",
    "replay",
    "websocket_reducer",
]

ActionType = Literal["CONNECT", "DISCONNECT", "MESSAGE_RECEIVED", "USERS_UPDATE", "ERROR"]

#: All types of actions. A received message cannot name one: `action_of` chooses the type.
ACTIONS: Final[tuple[str, ...]] = get_args(ActionType)


class WebSocketState(msgspec.Struct, frozen=True):
    """The state of a connection, as components show it.

    Parameters
    ----------
    is_connected : bool
        Whether the connection is open.
    messages : tuple of Message
        The newest messages, oldest first.
    active_users : tuple of str
        Names of the users in the room.
    error : str or None
        What went wrong, in one sentence; None if nothing did.
    max_messages : int
        How many messages `messages` keeps, at least one.

    Raises
    ------
    ValueError
        If `max_messages` is below 1.
    """

    is_connected: bool = False
    messages: tuple[Message, ...] = ()
    active_users: tuple[str, ...] = ()
    error: str | None = None
    max_messages: int = 100

    def __post_init__(self) -> None:
        if self.max_messages < 1:
            raise ValueError(f"expected max_messages >= 1, got {self.max_messages}")


class Action(msgspec.Struct, frozen=True):
    """One event that may change the state.

    Parameters
    ----------
    type : str
        One of `ACTIONS`.
    payload : any
        MESSAGE_RECEIVED: the `Message`. USERS_UPDATE: the names. DISCONNECT: the reason, or None.
        ERROR: what went wrong. CONNECT: None.
    """

    type: ActionType
    payload: Any = None


Reducer = Callable[[WebSocketState, Action], WebSocketState]


def websocket_reducer(state: WebSocketState, action: Action) -> WebSocketState:
    """Return the state after an action.

    Parameters
    ----------
    state : WebSocketState
        The state before the action; it is never modified.
    action : Action
        One of `ACTIONS`.

    Returns
    -------
    WebSocketState
        The state after the action; `state` itself if no field changes. A message is always a change.

    Raises
    ------
    ValueError
        For an action that is none of `ACTIONS`.

    Examples
    --------
    >>> state = websocket_reducer(WebSocketState(), Action("CONNECT"))
    >>> state = websocket_reducer(state, Action("MESSAGE_RECEIVED", Message("chat", "hi")))
    >>> state.is_connected, [message.payload for message in state.messages]
    (True, ['hi'])
    """
    match action.type:
        case "CONNECT":
            return _changed(state, is_connected=True, error=None)
        case "ERROR":
            return _changed(state, error=action.payload)
        case "DISCONNECT":
            return _changed(state, is_connected=False, error=action.payload)
        case "MESSAGE_RECEIVED":  # each message counts, also one that equals the last
            kept = state.messages[max(0, len(state.messages) - state.max_messages + 1) :]
            return msgspec.structs.replace(state, messages=(*kept, action.payload))
        case "USERS_UPDATE":
            given = cast("object", action.payload)
            names = cast("Iterable[object]", given) if isinstance(given, list | tuple) else ()
            users = tuple(name for name in names if isinstance(name, str))
            return _changed(state, active_users=users)
        case _:
            raise ValueError(f"expected an action out of {', '.join(ACTIONS)}, got {action.type!r:.80}")


def _changed(state: WebSocketState, **fields: object) -> WebSocketState:
    if all(getattr(state, name) == value for name, value in fields.items()):
        return state
    return msgspec.structs.replace(state, **fields)


def action_of(message: Message) -> Action:
    """Return the action for a received message: USERS_UPDATE for a ``users_update``, else MESSAGE_RECEIVED.

    Parameters
    ----------
    message : Message
        From any sender, so not trusted: ``{"type": "disconnect"}`` is an ordinary message, not a DISCONNECT.

    Examples
    --------
    >>> [action_of(Message(kind, [])).type for kind in ("users_update", "disconnect", "CONNECT")]
    ['USERS_UPDATE', 'MESSAGE_RECEIVED', 'MESSAGE_RECEIVED']
    """
    if message.type == "users_update":
        return Action("USERS_UPDATE", message.payload)
    return Action("MESSAGE_RECEIVED", message)


def reduced(reducer: Reducer, state: WebSocketState, action: Action) -> WebSocketState:
    """Return the state after an action; an ERROR that the reducer does not handle sets `error` all the same.

    Raises
    ------
    BaseException
        What the reducer raised on an action that is no ERROR.
    TypeError
        The reducer returned no `WebSocketState`.
    """
    after, error = call(reducer, state, action)
    if isinstance(after, WebSocketState):
        return after
    if action.type == "ERROR":
        return websocket_reducer(state, action)
    raise error if error is not None else TypeError(f"it returned {after!r:.80}, and no WebSocketState")


def replay(
    actions: Iterable[Action], state: WebSocketState | None = None, reducer: Reducer = websocket_reducer
) -> WebSocketState:
    """Return the state after all actions; a bug report can be a list of actions.

    Parameters
    ----------
    actions : iterable of Action
        Oldest first.
    state : WebSocketState, optional
        The state before the first action; None: a new `WebSocketState`.
    reducer : callable
        The reducer that the recorded run used.

    Examples
    --------
    >>> replay([Action("CONNECT"), Action("DISCONNECT", "closed with 1006")]).error
    'closed with 1006'
    """
    state = WebSocketState() if state is None else state
    for action in actions:
        state = reduced(reducer, state, action)
    return state
