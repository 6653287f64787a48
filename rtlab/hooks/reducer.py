"""`websocket_reducer`: a connection's part in an application's state, as a pure function to replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, cast, get_args

import msgspec

from rtlab.protocol.messages import Message

__all__ = [
    "ACTIONS",
    "Action",
    "ActionType",
    "Reducer",
    "WebSocketState",
    "action_of",
    "replay",
    "websocket_reducer",
]

ActionType = Literal["CONNECT", "DISCONNECT", "MESSAGE_RECEIVED", "USERS_UPDATE", "ERROR"]

#: The only actions there are. None is ever built from a word that came over the wire.
ACTIONS: Final[tuple[str, ...]] = get_args(ActionType)


class WebSocketState(msgspec.Struct, frozen=True):
    """What components show of a connection.

    Parameters
    ----------
    is_connected : bool
        Whether messages flow.
    messages : tuple of Message
        The newest, oldest first.
    active_users : tuple of str
        Who is in the room.
    error : str or None
        What is wrong.
    max_messages : int
        How many messages are kept.
    """

    is_connected: bool = False
    messages: tuple[Message, ...] = ()
    active_users: tuple[str, ...] = ()
    error: str | None = None
    max_messages: int = 100


class Action(msgspec.Struct, frozen=True):
    """Something that happened.

    Parameters
    ----------
    type : str
        One of `ACTIONS`.
    payload : any
        Of MESSAGE_RECEIVED the `Message`; of USERS_UPDATE the names; of DISCONNECT the reason, if any;
        of ERROR what is wrong.
    """

    type: ActionType
    payload: Any = None


Reducer = Callable[[WebSocketState, Action], WebSocketState]


def websocket_reducer(state: WebSocketState, action: Action) -> WebSocketState:
    """Return the state after an action.

    Parameters
    ----------
    state : WebSocketState
        Before. It is not changed.
    action : Action
        One of `ACTIONS`.

    Returns
    -------
    WebSocketState
        The very same object where the action changes nothing.

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
    changed = msgspec.structs.replace
    match action.type:
        case "CONNECT":
            return changed(state, is_connected=True, error=None)
        case "ERROR":
            return changed(state, error=action.payload)
        case "DISCONNECT":
            return changed(state, is_connected=False, error=action.payload)
        case "MESSAGE_RECEIVED":
            kept = state.messages[max(0, len(state.messages) - state.max_messages + 1) :]
            return changed(state, messages=(*kept, action.payload))
        case "USERS_UPDATE":
            given = cast("object", action.payload)
            names = cast("Iterable[object]", given) if isinstance(given, list | tuple) else ()
            users = tuple(name for name in names if isinstance(name, str))
            return state if users == state.active_users else changed(state, active_users=users)
        case _:
            raise ValueError(f"expected an action out of {', '.join(ACTIONS)}, got {action.type!r:.80}")


def action_of(message: Message) -> Action:
    """Return what a message from the wire does: its type chooses among two actions, and names none.

    Parameters
    ----------
    message : Message
        From anybody: ``{"type": "disconnect"}`` is a message that was received, and no DISCONNECT.

    Examples
    --------
    >>> [action_of(Message(kind, [])).type for kind in ("users_update", "disconnect", "CONNECT")]
    ['USERS_UPDATE', 'MESSAGE_RECEIVED', 'MESSAGE_RECEIVED']
    """
    if message.type == "users_update":
        return Action("USERS_UPDATE", message.payload)
    return Action("MESSAGE_RECEIVED", message)


def replay(
    actions: Iterable[Action], state: WebSocketState | None = None, reducer: Reducer = websocket_reducer
) -> WebSocketState:
    """Return the state after all actions, from `state` on: a bug report is a list of actions.

    Parameters
    ----------
    actions : iterable of Action
        In order.
    state : WebSocketState, optional
        Before them.
    reducer : callable
        The one that was used.

    Examples
    --------
    >>> replay([Action("CONNECT"), Action("DISCONNECT", "closed with 1006")]).error
    'closed with 1006'
    """
    state = WebSocketState() if state is None else state
    for action in actions:
        state = reducer(state, action)
    return state
