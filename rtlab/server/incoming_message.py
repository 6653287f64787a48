"""A message of a client while the server processes it, and the answer of its handler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import Codec
from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import EncodedFrame, RoomPosition, error_message, sendable
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.sessions.session_with_replay import Session

__all__ = ["NOT_ASKED", "ON_STREAM", "UNREAD", "Answer", "Answers", "Decoder", "Incoming", "OnStream"]


class Decoder(Protocol):
    """Turns data into a message: a codec for a transport's data, another class for a batch's items."""

    def decode(self, data: Any, max_bytes: int) -> Message: ...


class Answer(msgspec.Struct, gc=False):
    """A handler's positive answer to a message.

    Parameters
    ----------
    details : dict
        Payload of the ``ack``.
    positions : tuple of RoomPosition
        How far the client has read these rooms once it has the ack.
    behind : sequence of EncodedFrame
        Frames to send directly after the ack.
    acknowledge : bool
        Whether to send an ack; if False, only an HTTP response or a batch's ack has the details.
    """

    details: dict[str, Any]
    positions: tuple[RoomPosition, ...] = ()
    behind: Sequence[EncodedFrame] = ()
    acknowledge: bool = True


class Answers(Protocol):
    """Where the answers to a message go."""

    def acknowledge(self, session: Session, message: Message, answer: Answer) -> None:
        """Tell the client that its message was accepted."""
        ...

    def refuse(self, session: Session, message: Message, error: Refused) -> None:
        """Tell the client why its message was refused."""
        ...

    def unreadable(self, session: Session, error: MessageError, text: str) -> None:
        """Tell the client that the server cannot decode what it sent."""
        ...


class OnStream:
    """Sends answers as messages of the session, over its connection."""

    def acknowledge(self, session: Session, message: Message, answer: Answer) -> None:
        if answer.acknowledge:
            details = answer.details
            ack = Message("ack", details, id=message.id, room_id=details.get("roomId"))
            session.deliver(EncodedFrame(sendable(ack, session.check_outgoing), answer.positions))
        for frame in answer.behind:
            session.deliver(frame, asked_for=True)

    def refuse(self, session: Session, message: Message, error: Refused) -> None:
        session.send(error_message(error.code, str(error), message.id, error.retry_after, error.details))

    def unreadable(self, session: Session, error: MessageError, text: str) -> None:
        session.send(error_message(error.code, text))


ON_STREAM = OnStream()

#: Value of `Incoming.room` until `room_of` was called; compared by identity, so no room name equals it.
NOT_ASKED: Final = "".join(("not ", "asked"))

#: Placeholder for a message that is not decoded yet; compared by identity. Never modified.
UNREAD: Final = Message("")


class Incoming(msgspec.Struct, eq=False):
    """One message while it passes the ingress steps.

    Parameters
    ----------
    session : Session
        The sender's session.
    data : any
        What the transport received: bytes or text; for an item of a batch, the decoded item.
    decoder : Codec or other Decoder
        Decodes `data`.
    answers : Answers
        Where answers to the message go.
    now : float
        Seconds, monotonic: when the server last received a message, this one or a later one. Steps that
        need the time use it instead of reading the clock. It never decreases from message to message.
    message : Message
        The decoded message; `UNREAD` before the decoding step.
    room : str or None
        What `rtlab.server.handlers.handler_interface.room_of` returned; `NOT_ASKED` before its first call.
    """

    session: Session
    data: Any
    decoder: Decoder | Codec
    answers: Answers
    now: float
    message: Message
    room: str | None = NOT_ASKED

    def __repr__(self) -> str:
        return f"<Incoming: {self.message!r}>"  # not its data, in which tokens are readable
