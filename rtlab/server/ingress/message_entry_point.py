"""The single entry point of clients' messages, whichever transport carried them.

Whether it comes alone, in a POST's array or in a batch, each message passes the
same steps in the same order:

    size and byte rate → decode → authenticate → message rate → authorise → validate → handle

Some steps exist only if the server's options ask for them. All are in `Ingress.steps`, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import Codec
from rtlab.protocol.limits import NAME_CHARS
from rtlab.server.frames_encoded_once import error_message
from rtlab.server.handlers import HANDLERS, MessageHandler, Services, in_sequence, publish
from rtlab.server.incoming_message import ON_STREAM, UNREAD, Answer, Answers, Decoder, Incoming
from rtlab.server.latency_histogram_buckets import Histogram
from rtlab.server.maybe_awaitable_values import Later, then
from rtlab.server.refusal_and_end_reasons import AnswerPayload, Ended, Refused
from rtlab.server.sessions.session_with_replay import Session

__all__ = ["MAX_STRIKES", "MAX_UNREADABLE", "Ingress", "IngressStep"]

#: A session is ended after this many messages that cannot be decoded.
MAX_UNREADABLE: Final = 5

#: A session is ended after this many strikes; the step that refuses a message says what it costs.
MAX_STRIKES: Final = 5.0

_TOO_MANY_UNREADABLE: Final = Ended(
    1008, "too_many_unreadable", "too many messages that cannot be read: connect again, and send messages"
)


class IngressStep(Protocol):
    """One check or conversion that each message passes before it is handled.

    A function or a bound method: calling an object through ``__call__`` would take twice the time.
    """

    def __call__(self, incoming: Incoming, /) -> None:
        """Check a message, or change it; raise `Refused` or `MessageError` to reject it."""
        ...


def check_standing(incoming: Incoming) -> None:
    """Refuse every further message of a session that the server has ended."""
    ended = incoming.session.ended
    if ended is not None:
        raise Refused(ended.code, ended.text)


def decode_within(max_bytes: int) -> IngressStep:
    """Return the step that decodes a message of at most `max_bytes`."""

    def decode(incoming: Incoming) -> None:
        incoming.message = incoming.decoder.decode(incoming.data, max_bytes)

    return decode


def check_id(incoming: Incoming) -> None:
    """Refuse an id that is too long to be repeated in the answer."""
    message = incoming.message
    if message.id is not None and len(message.id) > NAME_CHARS:
        message.id = None
        raise Refused("wrong_id", f"id: expected at most {NAME_CHARS} characters")


class Ingress:
    """Processes the messages of all sessions of one server.

    Parameters
    ----------
    services : Services
        What handlers use of the server.
    max_message_bytes : int
        Bytes of the largest message.
    expel : callable
        Ends a session because of what its client sent; `Session.ended` holds the reason.
    before_decoding, after_decoding : sequence of IngressStep
        Further steps of this server, before and after the decoding.
    other_types : MessageHandler
        Handles the message types that are not in `HANDLERS`.

    Attributes
    ----------
    steps : list of IngressStep
        The steps in their order; the handler follows the last one.
    received : int
        Messages received, those that could not be decoded included; a batch counts as one.
    received_size : int
        Their total size, added up by the transports: bytes, but characters for text messages.
    handling : Histogram
        Seconds from receiving a message to its answer, the wait for a broker included.
    """

    def __init__(
        self,
        services: Services,
        max_message_bytes: int,
        expel: Callable[[Session], None],
        *,
        before_decoding: Sequence[IngressStep] = (),
        after_decoding: Sequence[IngressStep] = (),
        other_types: MessageHandler = publish,
    ) -> None:
        self.steps: list[IngressStep] = [
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
    ) -> Later[AnswerPayload]:
        """Process one message that a transport has received.

        Parameters
        ----------
        session : Session
            The sender's session.
        data : bytes or str
            One encoded message.
        codec : Codec
            The connection's codec.
        answers : Answers
            Where answers go; to the session's connection by default.

        Returns
        -------
        dict or Future of dict
            The result. A future if the message has to wait: for a broker's answer, for a later
            turn of the loop, or for an earlier message of the same sender. A sender's messages
            take effect in the order in which they were sent.
        """
        self.received += 1
        began = self._newest = self._clock()
        order = session.order
        if order.held is None:  # as nearly always: a plain call
            result = self._pass(session, data, codec, answers)
            if not isinstance(result, asyncio.Future):
                self.handling.add(self._clock() - began)
                return result if session.ended is None else self._ended(session, result)
            result = order.hold(then(result, partial(self._ended, session), _raise))
        else:
            result = order.add(partial(self._take, session, data, codec, answers))
        result.add_done_callback(lambda _: self.handling.add(self._clock() - began))
        return result

    def _take(
        self, session: Session, data: bytes | str, codec: Codec, answers: Answers
    ) -> Later[AnswerPayload]:
        # For a message that waited; `receive` does the same in line, which makes an echo 1 % faster.
        result = self._pass(session, data, codec, answers)
        if isinstance(result, asyncio.Future):
            return then(result, partial(self._ended, session), _raise)
        return self._ended(session, result)

    def _ended(self, session: Session, result: AnswerPayload) -> AnswerPayload:
        # Only after the answer: the ack of a batch says which of its items could not be decoded.
        if session.ended is not None:
            self._expel(session)
        return result

    def _pass(
        self, session: Session, data: Any, decoder: Decoder | Codec, answers: Answers
    ) -> Later[AnswerPayload]:
        turns = self._services.turns
        if turns.spent():
            # This turn has used up its slice: further messages wait, in the order in which they came.
            return turns.later(partial(self._obey, session, data, decoder, answers))
        if session.overloaded:
            # The client has not read its answers: it is not cut off, but its next messages wait.
            return session.when_changed(partial(self._pass, session, data, decoder, answers))
        return self._obey(session, data, decoder, answers)

    def _obey(
        self, session: Session, data: Any, decoder: Decoder | Codec, answers: Answers
    ) -> Later[AnswerPayload]:
        incoming = Incoming(session, data, decoder, answers, self._newest, UNREAD)
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

    def _accept(self, incoming: Incoming, answer: Answer | None) -> AnswerPayload:
        message = incoming.message
        incoming.session.used = True
        result: AnswerPayload = {"ok": True} if message.id is None else {"ok": True, "id": message.id}
        if answer is None:
            return result
        incoming.answers.acknowledge(incoming.session, message, answer)
        return {**result, **answer.details}

    def _failed(self, incoming: Incoming, error: BaseException) -> AnswerPayload:
        if isinstance(error, Refused):
            return self._refuse(incoming, error)
        raise error

    def _refuse(self, incoming: Incoming, error: Refused) -> AnswerPayload:
        session, message = incoming.session, incoming.message
        if message is not UNREAD or session.ended is None:
            incoming.answers.refuse(session, message, error)
        if error.strikes and session.ended is None:
            session.strikes += error.strikes
            # Tolerance for rounding errors: 1/40, added up forty times, may be a little less than 1.
            if session.strikes > MAX_STRIKES - 1e-9:
                session.ended = Ended(1008, error.code, f"too often: {error}")
        payload = error_message(error.code, str(error), message.id, error.retry_after, error.details).payload
        result: AnswerPayload = {"ok": False, "error": payload}
        return result if message.id is None else {**result, "id": message.id}

    def reject(self, session: Session, error: MessageError, answers: Answers) -> AnswerPayload:
        """Count data that cannot be decoded, and end a session that has sent too much of it.

        Parameters
        ----------
        session : Session
            The sender's session.
        error : MessageError
            Why the data cannot be decoded.
        answers : Answers
            Where the answer goes.

        Returns
        -------
        dict
            The result: ``{"ok": False, "error": …}``.
        """
        return self._ended(session, self._unreadable(session, error, answers))

    def _unreadable(self, session: Session, error: MessageError, answers: Answers) -> AnswerPayload:
        session.unreadable += 1
        if session.unreadable >= MAX_UNREADABLE:
            session.ended = _TOO_MANY_UNREADABLE
        left = MAX_UNREADABLE - session.unreadable
        answers.unreadable(session, error, f"{error}; {left} more and the connection ends")
        return {"ok": False, "error": error_message(error.code, str(error)).payload}


def _raise(error: BaseException) -> AnswerPayload:
    raise error
