"""The wire: one message type and two codecs.

A message is ``{"type": ..., "payload": ...}`` with a few optional fields. The
wire is camelCase, Python is snake_case, msgspec renames. A payload is the JSON
data model under both codecs, so that a message means the same on either.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final, Protocol, cast

import msgspec

from rtlab.errors import MessageError, MessageTooLarge

__all__ = [
    "CODECS",
    "JSON",
    "MAX_DEPTH",
    "MAX_MESSAGE_BYTES",
    "MSGPACK",
    "RESERVED_TYPES",
    "Codec",
    "JsonCodec",
    "Message",
    "MsgpackCodec",
    "check_payload",
    "codec_for",
]

# Limits
MAX_MESSAGE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64

RESERVED_TYPES: Final = frozenset(
    {"welcome", "echo", "join_room", "leave_room", "users_update", "batch", "ack", "error", "ping"}
    | {"pong", "auth", "feed"}
)


def _null() -> Any:
    return None


class Message(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """One message, as both ends see it.

    Parameters
    ----------
    type : str
        What it is: a reserved type, or the application's own word.
    payload : any
        The JSON data model: None, bool, int (64 bits), float, str,
        list, dict with str keys.
    id : str, optional
        The sender's name for this message; answers carry it back.
    seq : int, optional
        Dense sequence number within the sender's session.
    client_id : str, optional
        The sender.
    room_id : str, optional
        The room it belongs to.
    offset, epoch : int and str, optional
        Its place in the room's history, and which history that is.
    ts : float, optional
        Intended send time, seconds on the sender's monotonic clock.
    sent : float, optional
        The same clock just before the write.
    token : str, optional
        A credential sent in the message rather than in the handshake.

    Notes
    -----
    Fields that are not listed here are ignored on input, so that old and new
    versions of either end can talk.

    Examples
    --------
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


def check_payload(value: Any, max_depth: int = MAX_DEPTH) -> None:
    """Raise unless a value is in the JSON data model.

    Parameters
    ----------
    value : any
        The payload.
    max_depth : int
        How many lists and dicts may be nested.

    Raises
    ------
    MessageError
        With code ``"payload"`` or ``"too_deep"``.

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
        if not -(1 << 63) <= value < 1 << 64:
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
        for key, item in cast("dict[Any, Any]", value).items():
            if key.__class__ is not str:
                raise MessageError(f"a payload's keys are strings, got {key!r:.80}", "payload")
            check_payload(item, max_depth - 1)
    elif kind is list or kind is tuple:
        if max_depth <= 0:
            raise MessageError("the payload is nested too deeply: flatten it", "too_deep")
        for item in value:
            check_payload(item, max_depth - 1)
    else:
        raise MessageError(
            f"a payload cannot hold {kind.__name__}: it is the JSON data model (None, bool, int, "
            "float, str, list, dict); encode anything else into a string first",
            "payload",
        )


def _check(message: Message) -> None:
    """Raise unless the other end could read a message."""
    kind, ident, room_id = cast("tuple[Any, Any, Any]", (message.type, message.id, message.room_id))
    if not (
        isinstance(kind, str)
        and (ident is None or isinstance(ident, str))
        and (room_id is None or isinstance(room_id, str))
    ):
        got = f"{kind!r:.80}, {ident!r:.80} and {room_id!r:.80}"
        raise MessageError(f"a message's type, id and room_id are strings, got {got}", "wrong_type")
    check_payload(message.payload)


class Codec(Protocol):
    """Turns messages into frames and back."""

    subprotocol: ClassVar[str]
    binary: ClassVar[bool]

    def encode(self, message: Message, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes: ...

    def decode(self, data: bytes | str, max_bytes: int = MAX_MESSAGE_BYTES) -> Message: ...


def _validation_error(error: msgspec.ValidationError) -> MessageError:
    text = str(error)
    if text.startswith("Expected `object`, got") and " - at " not in text:
        return MessageError(f"a message is an object with a `type`: {text}", "not_an_object")
    return MessageError(f"a field of the message has the wrong form: {text}", "wrong_type")


class JsonCodec:
    """Messages as JSON text: readable in every tool, the default."""

    subprotocol: ClassVar[str] = "rtlab.v1.json"
    binary: ClassVar[bool] = False

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode

    def __repr__(self) -> str:
        return "<JsonCodec: rtlab.v1.json>"

    def encode(self, message: Message, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
        """Encode one message.

        Parameters
        ----------
        message : Message
            What to encode.
        max_bytes : int
            The largest frame to make.

        Returns
        -------
        bytes
            UTF-8 JSON without spaces.

        Raises
        ------
        MessageError
            When the payload is not in the JSON data model, or is too large.

        Examples
        --------
        >>> JSON.encode(Message("ping"))
        b'{"type":"ping","payload":null}'
        """
        _check(message)
        try:
            data = self._encode(message)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise MessageError(f"the payload does not fit JSON: {error}", "payload") from error
        if len(data) > max_bytes:
            raise MessageTooLarge(len(data), max_bytes)
        return data

    def decode(self, data: bytes | str, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
        """Decode one frame.

        Parameters
        ----------
        data : bytes or str
            One frame's payload.
        max_bytes : int
            The largest frame to accept.

        Returns
        -------
        Message

        Raises
        ------
        MessageError
            Its ``code`` says what is wrong.

        Examples
        --------
        >>> JSON.decode('{"type":"chat","roomId":"r"}').room_id
        'r'
        """
        if len(data) > max_bytes:
            raise MessageTooLarge(len(data), max_bytes)
        try:
            message = self._decode(data)
        except msgspec.ValidationError as error:
            raise _validation_error(error) from None
        except RecursionError:
            raise MessageError("the message is nested too deeply", "too_deep") from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise MessageError(f"not JSON: {error}") from None
        # JSON itself knows no limit of depth, nor of integers, which MessagePack could not pass on.
        check_payload(message.payload)
        return message


class MsgpackCodec:
    """Messages as MessagePack: smaller and faster where floats and numbers dominate."""

    subprotocol: ClassVar[str] = "rtlab.v1.msgpack"
    binary: ClassVar[bool] = True

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Message).decode

    def __repr__(self) -> str:
        return "<MsgpackCodec: rtlab.v1.msgpack>"

    def encode(self, message: Message, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
        """Encode one message; see `JsonCodec.encode`.

        Parameters
        ----------
        message : Message
            What to encode.
        max_bytes : int
            The largest frame to make.

        Returns
        -------
        bytes
            One MessagePack map.

        Raises
        ------
        MessageError
            When the payload is not in the JSON data model, or is too large.

        Examples
        --------
        >>> len(MSGPACK.encode(Message("ping")))
        20
        """
        _check(message)
        try:
            data = self._encode(message)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise MessageError(f"the payload does not fit MessagePack: {error}", "payload") from error
        if len(data) > max_bytes:
            raise MessageTooLarge(len(data), max_bytes)
        return data

    def decode(self, data: bytes | str, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
        """Decode one frame; see `JsonCodec.decode`.

        Parameters
        ----------
        data : bytes
            One frame's payload. Text is refused: MessagePack is binary.
        max_bytes : int
            The largest frame to accept.

        Returns
        -------
        Message

        Raises
        ------
        MessageError
            Its ``code`` says what is wrong.

        Examples
        --------
        >>> MSGPACK.decode(MSGPACK.encode(Message("chat", [1, 2]))).payload
        [1, 2]
        """
        if isinstance(data, str):
            raise MessageError("expected a binary frame of MessagePack, got text")
        if len(data) > max_bytes:
            raise MessageTooLarge(len(data), max_bytes)
        try:
            message = self._decode(data)
        except msgspec.ValidationError as error:
            raise _validation_error(error) from None
        except RecursionError:
            raise MessageError("the message is nested too deeply", "too_deep") from None
        except (msgspec.DecodeError, UnicodeError, ValueError, OverflowError) as error:
            raise MessageError(f"not MessagePack: {error}") from None
        check_payload(message.payload)
        return message


JSON: Final = JsonCodec()
MSGPACK: Final = MsgpackCodec()
CODECS: Final[dict[str, Codec]] = {JSON.subprotocol: JSON, MSGPACK.subprotocol: MSGPACK}


def codec_for(subprotocol: str | None) -> Codec:
    """Return the codec of a negotiated subprotocol; none negotiated means JSON.

    Parameters
    ----------
    subprotocol : str or None
        What the handshake settled on.

    Returns
    -------
    Codec

    Raises
    ------
    MessageError
        For a subprotocol that rtlab does not speak.

    Examples
    --------
    >>> codec_for(None).subprotocol
    'rtlab.v1.json'
    """
    if subprotocol is None:
        return JSON
    try:
        return CODECS[subprotocol]
    except KeyError:
        raise MessageError(f"expected one of {', '.join(CODECS)}, got {subprotocol!r}") from None
