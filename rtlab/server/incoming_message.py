"""One message of a client on its way in, and what its handler answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.codecs import Codec
from rtlab.protocol.messages import Message
from rtlab.server.encoded_frames import Frame, RoomPosition, checked, error_message
from rtlab.server.refusal import Refused
from rtlab.server.session import Session

__all__ = ["NOT_ASKED", "ON_STREAM", "Answer", "Answers", "Decoder", "Incoming", "OnStream"]


class Decoder(Protocol):
    """What makes a message of a transport's data: a codec, or what reads the items of a batch."""

    def decode(self, data: Any, max_bytes: int) -> Message: ...


class Answer(msgspec.Struct, gc=False):
    """What a handler answers.

    Parameters
    ----------
    details : dict
        What an ``ack`` says.
    positions : tuple of RoomPosition
        Where the ack leaves its receiver.
    behind : sequence of Frame
        What follows the ack at once.
    acknowledge : bool
        False when only a second answer (HTTP's, a batch's) says it.
    """

    details: dict[str, Any]
    positions: tuple[RoomPosition, ...] = ()
    behind: Sequence[Frame] = ()
    acknowledge: bool = True


class Answers(Protocol):
    """Where the answers to a message go."""

    def acknowledge(self, session: Session, message: Message, answer: Answer) -> None:
        """Tell the client that its message was obeyed."""
        ...

    def refuse(self, session: Session, message: Message, error: Refused) -> None:
        """Tell the client why its message was not obeyed."""
        ...

    def unreadable(self, session: Session, error: MessageError, text: str) -> None:
        """Tell the client that what it sent is no message."""
        ...


class OnStream:
    """Answers go down the session's stream, as messages."""

    def acknowledge(self, session: Session, message: Message, answer: Answer) -> None:
        if answer.acknowledge:
            details = answer.details
            ack = Message("ack", details, id=message.id, room_id=details.get("roomId"))
            session.deliver(Frame(checked(ack, session.check_outgoing), answer.positions))
        for frame in answer.behind:
            session.deliver(frame, asked_for=True)

    def refuse(self, session: Session, message: Message, error: Refused) -> None:
        session.send(error_message(error.code, str(error), message.id, error.retry_after, error.details))

    def unreadable(self, session: Session, error: MessageError, text: str) -> None:
        session.send(error_message(error.code, text))


ON_STREAM = OnStream()

#: Stands for the room of a message that nobody has looked for: this very string, not its like.
NOT_ASKED: Final = "".join(("not ", "asked"))


class Incoming:
    """One message on its way through the steps.

    Parameters
    ----------
    session : Session
        Who sent it.
    data : any
        As it came: bytes or text, or an item of a batch.
    decoder : Codec or other Decoder
        What reads it.
    answers : Answers
        Where its answers go.
    now : float
        When the server last received a message, this one or a later one: what counts by time needs no look
        at the clock of its own. It never goes back from one message to the next.

    Attributes
    ----------
    message : Message
        Once it is decoded.
    room : str or None
        What `rtlab.server.handlers.base.room_of` found, once it was asked; `NOT_ASKED` before.
    """

    __slots__ = ("answers", "data", "decoder", "message", "now", "room", "session")

    message: Message
    room: str | None

    def __init__(
        self, session: Session, data: Any, decoder: Decoder | Codec, answers: Answers, now: float
    ) -> None:
        self.session = session
        self.data = data
        self.decoder = decoder
        self.answers = answers
        self.now = now
        self.room = NOT_ASKED
