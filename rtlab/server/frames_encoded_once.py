"""Outgoing messages: each is encoded once per codec, and all its receivers share the bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.protocol.limits import MAX_MESSAGE_BYTES, NAME_CHARS, SLACK_BYTES
from rtlab.protocol.message_format import Message
from rtlab.protocol.permessage_deflate import Deflate, deflated
from rtlab.protocol.websocket_framing import BINARY, TEXT, unframed, websocket_frame

__all__ = [
    "Burst",
    "EncodedFrame",
    "RoomPosition",
    "SharedForm",
    "error_message",
    "sendable",
    "shared_form",
]


class RoomPosition(NamedTuple):
    """How far a session has read one room, at some position of the session.

    Parameters
    ----------
    room_id, epoch : str
        The room, and the epoch in which `offset` counts.
    offset : int or None
        Offset of the last message seen; None when the session left the room.
    """

    room_id: str
    epoch: str
    offset: int | None


def error_message(
    code: str,
    text: str,
    ref: str | None = None,
    retry_after: float | None = None,
    details: Mapping[str, Any] | None = None,
) -> Message:
    """Make an ``error`` message.

    Parameters
    ----------
    code, text : str
        A stable word for programs, and an explanation for people.
    ref : str, optional
        Id of the message that the error answers.
    retry_after : float, optional
        Seconds after which the client may try again.
    details : mapping, optional
        Further fields of the payload, for programs.
    """
    payload: dict[str, Any] = {"code": code, "message": text, **(details or {})}
    if ref is not None:
        payload["ref"] = ref
    if retry_after is not None:
        payload["retryAfter"] = round(retry_after, 3)
    return Message("error", payload, id=ref)


def sendable(message: Message, check: Callable[[Message], None] | None) -> Message:
    """Return a message if it may be sent, else an ``error`` message to be sent in its place.

    A server that refuses malformed messages must not send any, whether by a mistake of its own, of
    another node, or of a broker: clients act on what they receive.

    Parameters
    ----------
    message : Message
        The outgoing message.
    check : callable or None
        Raises `MessageError` for a message that must not be sent; None lets every message pass.
    """
    if check is None:
        return message
    try:
        check(message)
    except MessageError as error:
        text = f"a message of the server is not what its type must be, and was left out: {error}"
        substitute = error_message(error.code, text[:500], message.id)
        substitute.room_id, substitute.offset, substitute.epoch = (
            message.room_id,
            message.offset,
            message.epoch,
        )
        return substitute
    return message


class SharedForm:
    """A codec with compression without context takeover: all its connections can share the same bytes.

    `shared_form` makes one instance for each pair, so instances compare by identity.
    """

    __slots__ = ("codec", "deflate")

    def __init__(self, codec: Codec, deflate: Deflate) -> None:
        self.codec = codec
        self.deflate = deflate


class EncodedFrame:
    """One outgoing message with the bytes made from it so far.

    Parameters
    ----------
    message : Message
        The message; it must not change any more.
    positions : tuple of RoomPosition
        How far the receiver has read these rooms once it has this message.

    Attributes
    ----------
    websockets : dict
        Codec or `SharedForm` → the WebSocket frame, header included; only those made so far.
    size_bytes : int
        Approximate memory cost: the length of the first encoding; 0 before there is one.

    Examples
    --------
    >>> EncodedFrame(Message("pong")).websocket(JSON)[2:]
    b'{"type":"pong","payload":null}'
    """

    __slots__ = ("_encoded", "_event", "message", "positions", "size_bytes", "websockets")

    def __init__(self, message: Message, positions: tuple[RoomPosition, ...] = ()) -> None:
        self.message = message
        self.positions = positions
        # None until a caller needs the bytes without a WebSocket header: most messages have one receiver.
        self._encoded: dict[Codec, bytes] | None = None
        self.websockets: dict[Codec | SharedForm, bytes] = {}
        self.size_bytes = 0
        self._event: bytes | None = None

    def encoded(self, codec: Codec) -> bytes:
        """Return the message in one codec.

        A message that this codec cannot carry becomes an ``error`` message that
        names it, so that one member's codec cannot hurt the others.
        """
        if self._encoded is None:
            self._encoded = {}
        data = self._encoded.get(codec)
        if data is None:
            framed = self.websockets.get(codec)
            data = self._encode(codec) if framed is None else unframed(framed)
            self._encoded[codec] = data
        return data

    def _encode(self, codec: Codec) -> bytes:
        """Encode the message. The caller keeps the bytes once: as they are, or in a WebSocket frame."""
        try:
            data = codec.encode(self.message, MAX_ENCODED_BYTES)
        except MessageError as error:
            data = codec.encode(self._unreadable(error))
        self.size_bytes = self.size_bytes or len(data)
        return data

    def _unreadable(self, error: MessageError) -> Message:
        of = self.message
        text = f"a {of.type!r:.60} message could not be encoded for you: {error}"
        # Cut short, because an overlong name may be the reason.
        substitute = error_message("not_encodable", text[:500], of.id and of.id[:NAME_CHARS])
        substitute.room_id = of.room_id and of.room_id[:NAME_CHARS]
        substitute.offset, substitute.epoch = of.offset, of.epoch
        return substitute

    def websocket(self, form: Codec | SharedForm) -> bytes:
        """Return the whole WebSocket frame, header included, compressed if the form says so."""
        data = self.websockets.get(form)
        if data is None:
            data = self._compressed(form) if isinstance(form, SharedForm) else self._plain(form)
            self.websockets[form] = data
        return data

    def _plain(self, codec: Codec) -> bytes:
        data = None if self._encoded is None else self._encoded.get(codec)
        return websocket_frame(BINARY if codec.binary else TEXT, data or self._encode(codec))

    def _compressed(self, form: SharedForm) -> bytes:
        codec, data = form.codec, self.encoded(form.codec)
        small = deflated(data, form.deflate)
        if len(small) >= len(data):
            return self._plain(codec)  # RFC 7692 §6: each message may go uncompressed
        return websocket_frame(BINARY if codec.binary else TEXT, small, 0x40)

    def event(self) -> bytes:
        """Return the server-sent event up to the value of ``id``, which differs for each receiver."""
        if self._event is None:
            self._event = b"event: %b\ndata: %b\nid: " % (self.message.type.encode(), self.encoded(JSON))
        return self._event

    def measure(self) -> int:
        """Return `size_bytes`; encode the message first if that was not done yet."""
        return self.size_bytes or len(self.encoded(JSON))


class Burst:
    """Consecutive frames for the same receivers: their bytes are joined once for each form.

    Parameters
    ----------
    frame : EncodedFrame
        The first frame.

    Attributes
    ----------
    frames : list of EncodedFrame
        The frames in their order.
    size_bytes : int
        Sum of the frames' sizes.
    websockets : dict
        As `EncodedFrame.websockets`, for all frames joined.
    alone : bool
        Whether no other burst waits to be delivered: then sinks write it at once, and do not wait
        for the end of the turn.
    """

    __slots__ = ("alone", "frames", "size_bytes", "websockets")

    def __init__(self, frame: EncodedFrame) -> None:
        self.frames = [frame]
        self.alone = False
        self.size_bytes = frame.measure()
        self.websockets: dict[Codec | SharedForm, bytes] = {}

    def add(self, frame: EncodedFrame) -> None:
        """Append a frame."""
        self.frames.append(frame)
        self.size_bytes += frame.measure()
        self.websockets.clear()

    def websocket(self, form: Codec | SharedForm) -> bytes:
        """Return the WebSocket frames of all messages, concatenated."""
        data = b"".join([frame.websocket(form) for frame in self.frames])
        self.websockets[form] = data
        return data


@lru_cache(maxsize=256)
def shared_form(codec: Codec, deflate: Deflate) -> SharedForm:
    """Return the one `SharedForm` of a codec and a compression; a server sees few such pairs."""
    return SharedForm(codec, deflate)


#: Bytes of the largest outgoing message.
MAX_ENCODED_BYTES: Final = MAX_MESSAGE_BYTES + SLACK_BYTES
