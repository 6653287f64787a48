"""The message format: its fields, its limits, and the values that a payload may contain.

A message is ``{"type": ..., "payload": ...}`` with a few optional fields. Names are
camelCase on the wire and snake_case in Python; msgspec converts them. With both codecs,
a payload is restricted to the JSON data model, so that a message means the same in either.
"""

from __future__ import annotations

import math
from typing import Any, Final, cast

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.limits import MAX_DEPTH

__all__ = [
    "RESERVED_TYPES",
    "CheckedItems",
    "Message",
    "check_message",
    "check_payload",
    "check_payload_of",
    "fields_of",
]

RESERVED_TYPES: Final = frozenset(
    {"welcome", "echo", "join_room", "leave_room", "users_update", "batch", "ack", "error", "ping"}
    | {"pong", "auth", "feed", "outbox", "skipped", "resync"}
)


#: Every value of these classes may be in a payload; integers, from `_LEAST_INT` to below `_END_OF_INTS`.
_ANY_VALUE: Final = frozenset({str, bool, type(None)})
_LEAST_INT: Final = -(1 << 63)
_END_OF_INTS: Final = 1 << 64


def _null() -> Any:
    return None


class Message(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """One message, as both ends see it.

    Parameters
    ----------
    type : str
        The message's type: a reserved type, or a name that the application chooses.
    payload : any
        A value of the JSON data model: None, bool, int (64 bits), float, str,
        list, dict with str keys.
    id : str, optional
        An id that the sender chose; the answer repeats it.
    seq : int, optional
        The dense sequence number within `stream`.
    client_id : str, optional
        The sender's client id.
    room_id : str, optional
        The room that the message is published in.
    offset, epoch : int and str, optional
        The message's position in the room's history, and the name of that history.
    ts : float, optional
        The intended send time, in seconds on the sender's monotonic clock.
    sent : float, optional
        The time just before the write, on the same clock.
    token : str, optional
        A credential sent in the message rather than in the handshake.
    stream : str, optional
        The sender's outbox that has numbered the message; the server handles each number once.

    Notes
    -----
    Unknown fields are ignored on input, so that old and new versions of either end
    can communicate.

    Examples
    --------
    >>> from rtlab.protocol.json_and_messagepack_codecs import JSON
    >>> JSON.encode(Message("chat", {"text": "hi"}, room_id="r"))
    b'{"type":"chat","payload":{"text":"hi"},"roomId":"r"}'
    """

    type: str
    # A factory, so that `omit_defaults` never leaves the payload out.
    payload: Any = msgspec.field(default_factory=_null)
    id: str | None = None
    seq: int | None = None
    client_id: str | None = None
    room_id: str | None = None
    offset: int | None = None
    epoch: str | None = None
    ts: float | None = None
    sent: float | None = None
    token: str | None = None
    stream: str | None = None

    def __repr__(self) -> str:
        # A token is a credential, so it must not get into a log. An ``auth`` message has it in its payload.
        shown, payload = self, fields_of(self.payload)
        if self.token is not None:
            shown = msgspec.structs.replace(shown, token="***")
        if "token" in payload:
            shown = msgspec.structs.replace(shown, payload={**payload, "token": "***"})
        return super(Message, shown).__repr__()


def fields_of(payload: object) -> dict[str, Any]:
    """Return a payload's fields; an empty dict if the payload is not an object.

    Parameters
    ----------
    payload : object
        A message's payload, or a field of one.

    Examples
    --------
    >>> fields_of({"n": 1}).get("n"), fields_of("n").get("n")
    (1, None)
    """
    return cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}


class CheckedItems(list[Any]):
    """A batch's items or results that were checked one by one already, and are not checked again.

    Examples
    --------
    >>> check_payload(CheckedItems([{"type": "chat", "payload": "hi"}]))
    """

    __slots__ = ()


def check_payload(value: Any, max_depth: int = MAX_DEPTH) -> None:
    """Raise `MessageError` unless a value is in the JSON data model.

    Parameters
    ----------
    value : any
        The payload.
    max_depth : int
        The most lists and dicts that may be nested in each other.

    Raises
    ------
    MessageError
        The value is not; the code is ``"payload"`` or ``"too_deep"``.

    Examples
    --------
    >>> check_payload({"x": float("nan")})
    Traceback (most recent call last):
    ...
    rtlab.errors.MessageError: a payload cannot hold nan: JSON has no such number
    """
    if value is None:
        return
    kind: type = value.__class__
    if kind is str or kind is bool:
        return
    if kind is int:
        if not _LEAST_INT <= value < _END_OF_INTS:
            raise MessageError(
                "a payload's integers have at most 64 bits: send this one as a string", "payload"
            )
        return
    if kind is float:
        if not math.isfinite(value):
            raise MessageError(f"a payload cannot hold {value}: JSON has no such number", "payload")
    elif kind is dict:
        if max_depth <= 0:
            raise MessageError("the payload is nested too deeply: flatten it", "too_deep")
        for key, item in value.items():
            if key.__class__ is not str:
                raise MessageError(f"a payload's keys are strings, got {key!r:.80}", "payload")
            # Most values are checked inline: a call for each would take longer than everything else.
            inner = item.__class__
            if inner not in _ANY_VALUE and (inner is not int or not _LEAST_INT <= item < _END_OF_INTS):
                check_payload(item, max_depth - 1)
    elif kind is list or kind is tuple:
        if max_depth <= 0:
            raise MessageError("the payload is nested too deeply: flatten it", "too_deep")
        for item in value:
            inner = item.__class__
            if inner in _ANY_VALUE or (inner is int and _LEAST_INT <= item < _END_OF_INTS):
                continue
            if inner is dict and max_depth > 1:  # flat objects, such as a batch's results: inline, too
                for key, field in item.items():
                    of = field.__class__
                    if key.__class__ is not str or (
                        of not in _ANY_VALUE and (of is not int or not _LEAST_INT <= field < _END_OF_INTS)
                    ):
                        break
                else:
                    continue
            check_payload(item, max_depth - 1)
    elif kind is not CheckedItems:
        raise MessageError(
            f"a payload cannot hold {kind.__name__}: it is the JSON data model (None, bool, int, "
            "float, str, list, dict); encode anything else into a string first",
            "payload",
        )


def check_payload_of(message: Message) -> None:
    """Check a message's payload; in a batch, each item's payload may be as deep as in a message alone."""
    payload = message.payload
    if payload.__class__ not in _ANY_VALUE:
        check_payload(payload, MAX_DEPTH + 2 if message.type == "batch" else MAX_DEPTH)


def check_message(message: Message) -> None:
    """Raise `MessageError` if the other end could not read a message.

    Parameters
    ----------
    message : Message
        A message to send; its type, id and room come from the caller, and may be of any class.

    Raises
    ------
    MessageError
        With code ``"wrong_type"``, or as for `check_payload`.
    """
    kind: Any = message.type
    ident: Any = message.id
    room_id: Any = message.room_id
    # Fast checks first: this runs for each message that is sent.
    if (
        (kind.__class__ is not str and not isinstance(kind, str))
        or (ident is not None and not isinstance(ident, str))
        or (room_id is not None and not isinstance(room_id, str))
    ):
        got = f"{kind!r:.80}, {ident!r:.80} and {room_id!r:.80}"
        raise MessageError(f"a message's type, id and room_id are strings, got {got}", "wrong_type")
    if message.payload.__class__ not in _ANY_VALUE:
        check_payload_of(message)
