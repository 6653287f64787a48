"""The one way in: what every message of a client passes, whatever carried it.

Alone, in a POST's array or in a batch, over any transport, a message goes through the
same steps in the same order:

    size and byte rate → decode → authenticate → message rate → authorise → validate → handle

Steps that do nothing yet do not exist; they are added to `Ingress.steps`, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from rtlab.errors import MessageError
from rtlab.protocol.codecs import Codec
from rtlab.protocol.messages import Message
from rtlab.server.encoded_frames import NAME_CHARS, error_message
from rtlab.server.handlers import HANDLERS, Handler, Services, in_sequence, publish
from rtlab.server.histogram import Histogram
from rtlab.server.incoming_message import ON_STREAM, Answer, Answers, Decoder, Incoming
from rtlab.server.ordered_answers import Later, then
from rtlab.server.refusal import Ended, Refused, Result
from rtlab.server.session import Session

__all__ = ["MAX_STRIKES", "MAX_UNREADABLE", "Ingress", "Step"]

#: So many messages that cannot be read end a session.
MAX_UNREADABLE: Final = 5

#: So many breaches of what the server expects end one, too; a step says what each counts.
MAX_STRIKES: Final = 5.0

_TOO_MANY_UNREADABLE: Final = Ended(
    1008, "too_many_unreadable", "too many messages that cannot be read: connect again, and send messages"
)


#: Stands for a message that nobody has read.
_UNREAD: Final = Message("")


class Step(Protocol):
    """One thing that is done with every message before it is handled.

    A function, or a method of a small object: calling the object itself would take twice the time.
    """

    def __call__(self, incoming: Incoming, /) -> None:
        """Look at a message, perhaps change it; raise `Refused` or `MessageError` to stop it."""
        ...


def check_standing(incoming: Incoming) -> None:
    """Hear no more from a client whose session was ended for what it sent."""
    ended = incoming.session.ended
    if ended is not None:
        raise Refused(ended.code, ended.text)


def decode_within(max_bytes: int) -> Step:
    """Return the step that turns bytes into a message, of so many at most."""

    def decode(incoming: Incoming) -> None:
        incoming.message = incoming.decoder.decode(incoming.data, max_bytes)

    return decode


def check_id(incoming: Incoming) -> None:
    """Refuse an id that answers could not repeat."""
    message = incoming.message
    if message.id is not None and len(message.id) > NAME_CHARS:
        message.id = None
        raise Refused("wrong_id", f"id: expected at most {NAME_CHARS} characters")


class Ingress:
    """Takes the messages of all sessions of one server.

    Parameters
    ----------
    services : Services
        What handlers use.
    max_message_bytes : int
        The largest message.
    expel : callable
        Ends a session that sent what it should not; `Session.ended` says why.
    before_decoding, after_decoding : sequence of Step
        What this server checks besides.
    other_types : Handler
        Takes the types that `HANDLERS` does not.

    Attributes
    ----------
    steps : list of Step
        In their order; then the message is handled.
    received : int
        Messages that came, those that could not be read included; a batch counts as one.
    received_size : int
        Of them, counted by what reads them: bytes, and characters where a message came as text.
    handling : Histogram
        How long each took, from when it came until its answer: a broker's included.
    """

    def __init__(
        self,
        services: Services,
        max_message_bytes: int,
        expel: Callable[[Session], None],
        *,
        before_decoding: Sequence[Step] = (),
        after_decoding: Sequence[Step] = (),
        other_types: Handler = publish,
    ) -> None:
        self.steps: list[Step] = [
            check_standing,
            *before_decoding,
            decode_within(max_message_bytes),
            check_id,
            *after_decoding,
        ]
        self.received = self.received_size = 0
        self.handling = Histogram()
        self._clock = services.clock
        self._newest = services.clock()  # when the newest message came
        self._services = services
        self._expel = expel
        self._other_types = other_types
        services.receive_item = self._pass

    def receive(
        self, session: Session, data: bytes | str, codec: Codec, answers: Answers = ON_STREAM
    ) -> Later[Result]:
        """Take one message as it came from a transport.

        Parameters
        ----------
        session : Session
            Who sent it.
        data : bytes or str
            One message, encoded.
        codec : Codec
            The connection's.
        answers : Answers
            Where answers go; down the session's stream by default.

        Returns
        -------
        dict or Future of dict
            What became of it. A future when it has to wait for a broker: for its own
            answer, or because an earlier message of the same sender waits. Then its
            effects come in the sender's order all the same.
        """
        self.received += 1
        began = self._newest = self._clock()
        result = session.order.run(partial(self._take, session, data, codec, answers))
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda _: self.handling.add(self._clock() - began))
        else:
            self.handling.add(self._clock() - began)
        return result

    def _take(self, session: Session, data: bytes | str, codec: Codec, answers: Answers) -> Later[Result]:
        result = self._pass(session, data, codec, answers)
        if isinstance(result, asyncio.Future):
            return then(result, partial(self._ended, session), _raise)
        return self._ended(session, result)

    def _ended(self, session: Session, result: Result) -> Result:
        # Not sooner: the ack of a batch says which of its items could not be read.
        if session.ended is not None:
            self._expel(session)
        return result

    def _pass(self, session: Session, data: Any, decoder: Decoder | Codec, answers: Answers) -> Later[Result]:
        turns = self._services.turns
        if turns.spent():
            # Whoever asks for much waits, in the order of asking; nobody waits for all of it.
            return turns.later(partial(self._obey, session, data, decoder, answers))
        if session.overloaded:
            # It asked for more than it has read: it is not cut off, but heard later.
            return session.when_changed(partial(self._pass, session, data, decoder, answers))
        return self._obey(session, data, decoder, answers)

    def _obey(self, session: Session, data: Any, decoder: Decoder | Codec, answers: Answers) -> Later[Result]:
        incoming = Incoming(session, data, decoder, answers, self._newest)
        try:
            for step in self.steps:
                step(incoming)
            handle = HANDLERS.get(incoming.message.type, self._other_types)
            if incoming.message.stream is None:
                answer = handle(self._services, incoming)
            else:
                answer = in_sequence(handle, self._services, incoming)
        except Refused as error:
            return self._refuse(incoming, error)
        except MessageError as error:
            return self._unreadable(session, error, answers)
        if not isinstance(answer, asyncio.Future):
            return self._accept(incoming, answer)
        return then(answer, partial(self._accept, incoming), partial(self._failed, incoming))

    def _accept(self, incoming: Incoming, answer: Answer | None) -> Result:
        message = incoming.message
        incoming.session.used = True
        result: Result = {"ok": True} if message.id is None else {"ok": True, "id": message.id}
        if answer is None:
            return result
        incoming.answers.acknowledge(incoming.session, message, answer)
        return {**result, **answer.details}

    def _failed(self, incoming: Incoming, error: BaseException) -> Result:
        if isinstance(error, Refused):
            return self._refuse(incoming, error)
        raise error

    def _refuse(self, incoming: Incoming, error: Refused) -> Result:
        session, message = incoming.session, getattr(incoming, "message", None)
        if message is None:
            if session.ended is None:
                # Refused before it was read: nobody knows its id.
                incoming.answers.refuse(session, _UNREAD, error)
            message = _UNREAD
        else:
            incoming.answers.refuse(session, message, error)
        if error.strikes and session.ended is None:
            session.strikes += error.strikes
            # A hair of tolerance: forty fortieths are not quite one.
            if session.strikes > MAX_STRIKES - 1e-9:
                session.ended = Ended(1008, error.code, f"too often: {error}")
        payload = error_message(error.code, str(error), message.id, error.retry_after, error.details).payload
        result: Result = {"ok": False, "error": payload}
        return result if message.id is None else {**result, "id": message.id}

    def reject(self, session: Session, error: MessageError, answers: Answers) -> Result:
        """Count something that cannot be read, and end the session that sent too much of it.

        Parameters
        ----------
        session : Session
            Who sent it.
        error : MessageError
            Why it cannot be read.
        answers : Answers
            Who is told.

        Returns
        -------
        dict
            What became of it.
        """
        return self._ended(session, self._unreadable(session, error, answers))

    def _unreadable(self, session: Session, error: MessageError, answers: Answers) -> Result:
        session.unreadable += 1
        if session.unreadable >= MAX_UNREADABLE:
            session.ended = _TOO_MANY_UNREADABLE
        left = MAX_UNREADABLE - session.unreadable
        answers.unreadable(session, error, f"{error}; {left} more and the connection ends")
        return {"ok": False, "error": error_message(error.code, str(error)).payload}


def _raise(error: BaseException) -> Result:
    raise error
