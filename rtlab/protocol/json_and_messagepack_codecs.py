"""How a message becomes bytes: JSON text or MessagePack.

Decoders read untrusted bytes. Every exception that a library raises about them (`msgspec`
alone: DecodeError, UnicodeDecodeError, RecursionError, OverflowError …) becomes a
`MessageError` in this module, and nowhere else.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Protocol, TypeVar, overload

import msgspec

from rtlab.errors import MessageError, MessageTooLarge
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import Message, check_message, check_payload_of

__all__ = [
    "CODECS",
    "JSON",
    "MSGPACK",
    "Codec",
    "JsonCodec",
    "MsgpackCodec",
    "codec_for",
    "parse_json",
    "utf8_bytes",
]

T = TypeVar("T")


class Codec(Protocol):
    """Turns messages into frames and back."""

    subprotocol: ClassVar[str]
    binary: ClassVar[bool]

    def encode(self, message: Message, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes: ...

    def decode(self, data: bytes | str, max_bytes: int = MAX_MESSAGE_BYTES) -> Message: ...


def _unreadable(error: Exception, form: str) -> MessageError:
    """Turn an exception that a library raised about untrusted bytes into a `MessageError`."""
    if isinstance(error, msgspec.ValidationError):
        text = str(error)
        if text.startswith("Expected `object`, got") and " - at " not in text:
            return MessageError(f"a message is an object with a `type`: {text}", "not_an_object")
        return MessageError(f"a field of the message has the wrong form: {text}", "wrong_type")
    if isinstance(error, RecursionError):
        return MessageError("the message is nested too deeply", "too_deep")
    return MessageError(f"not {form}: {error or type(error).__name__}")


@overload
def parse_json(data: bytes | str) -> Any: ...


@overload
def parse_json(data: bytes | str, type: type[T]) -> T: ...


def parse_json(data: bytes | str, type: Any = Any) -> Any:
    """Read untrusted JSON that is not a message: request bodies, descriptions, cursors.

    Parameters
    ----------
    data : bytes or str
        The JSON document.
    type : type
        The expected type, as for `msgspec.json.decode`.

    Returns
    -------
    any
        A value of that type.

    Raises
    ------
    MessageError
        The document is invalid, whatever the fault; ``json.decode`` itself raises five classes.

    Examples
    --------
    >>> parse_json(b"[1, 2]", list[int])
    [1, 2]
    """
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.ValidationError as error:
        raise MessageError(f"unexpected JSON: {error}", "wrong_type") from None
    except Exception as error:
        raise _unreadable(error, "JSON") from None


def utf8_bytes(data: str | bytes) -> int:
    """Return how many bytes a message takes on the wire, where text travels as UTF-8."""
    return len(data) if not isinstance(data, str) or data.isascii() else len(data.encode())


class JsonCodec:
    """Messages as JSON text, which is the default, and readable in every tool."""

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
            The message to encode.
        max_bytes : int
            The largest frame to return, in bytes.

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
        check_message(message)
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
        try:
            # A character takes up to four bytes in UTF-8: only near the limit are bytes counted exactly.
            if len(data) * 4 > max_bytes and (size := utf8_bytes(data)) > max_bytes:
                raise MessageTooLarge(size, max_bytes)
            message = self._decode(data)
        except MessageError:
            raise
        except Exception as error:
            raise _unreadable(error, "JSON") from None
        # JSON limits neither nesting nor integers, but MessagePack could not pass larger integers on.
        check_payload_of(message)
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
            The message to encode.
        max_bytes : int
            The largest frame to return, in bytes.

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
        check_message(message)
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
        except Exception as error:
            raise _unreadable(error, "MessagePack") from None
        check_payload_of(message)
        return message


JSON: Final = JsonCodec()
MSGPACK: Final = MsgpackCodec()
CODECS: Final[dict[str, Codec]] = {JSON.subprotocol: JSON, MSGPACK.subprotocol: MSGPACK}


def codec_for(subprotocol: str | None) -> Codec:
    """Return the codec of a negotiated subprotocol; none negotiated means JSON.

    Parameters
    ----------
    subprotocol : str or None
        The subprotocol that the opening handshake negotiated.

    Returns
    -------
    Codec

    Raises
    ------
    MessageError
        rtlab does not know the subprotocol.

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
