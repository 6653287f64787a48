"""``outbox``, and the rule for an outbox's numbered messages: each is handled once, in order."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, NoReturn

import msgspec

from rtlab.protocol.message_format import RESERVED_TYPES
from rtlab.server.handlers.handler_interface import MessageHandler, Services
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.maybe_awaitable_values import Later, then
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.sessions.outbox_deduplication_and_fencing import Incarnation, Producer, ProducerOpening

__all__ = ["in_sequence", "outbox"]

#: Codes of refusals that do not use up a number: the client may send the same message again.
_NOT_FINAL: Final = frozenset({"not_published", "blocked"})

_encode: Final = msgspec.json.Encoder().encode


def outbox(services: Services, incoming: Incoming) -> Answer:
    """Open an outbox for this session."""
    session = incoming.session
    try:
        opening = msgspec.convert(incoming.message.payload, ProducerOpening)
    except msgspec.ValidationError as error:
        raise Refused("wrong_payload", f"outbox: {error}") from None
    if opening.base < 1 or opening.after < 0 or not opening.stream.isprintable():
        raise Refused("wrong_payload", "outbox: expected base >= 1, after >= 0 and a printable stream")
    if max(map(len, (opening.stream, opening.history, opening.token))) > 64:
        raise Refused("wrong_payload", "outbox: expected names of up to 64 characters")
    incarnation = services.producers.open(session.client_id, session.user, opening)
    session.outboxes[opening.stream] = incarnation
    last = incarnation.producer.last_seq
    return Answer({"stream": opening.stream, "incarnation": incarnation.number, "lastSeq": last})


def in_sequence(handle: MessageHandler, services: Services, incoming: Incoming) -> Later[Answer]:
    """Handle a numbered message once, when its turn has come; answer a repeat with the first result.

    Parameters
    ----------
    handle : MessageHandler
        The handler of the message's type.
    services, incoming : Services and Incoming
        As for any handler.

    Raises
    ------
    Refused
        ``"not_opened"``, ``"wrong_seq"``, ``"gap"``, ``"seq_reused"``, ``"fenced"``, or a refusal of the
        handler.
    """
    message = incoming.message
    incarnation = incoming.session.outboxes.get(message.stream or "")
    if incarnation is None:
        raise Refused("not_opened", f"open the outbox {message.stream!r:.70} with an outbox message first")
    seq = message.seq
    if seq is None or seq < 1:
        raise Refused("wrong_seq", f"expected a seq from 1 on in a stream, got {seq!r}")
    take = partial(_take, handle, services, incoming, incarnation, seq)
    # Also across sessions: a repeat waits for the first one's answer from the broker.
    return incarnation.producer.order.run(take)


def _take(
    handle: MessageHandler, services: Services, incoming: Incoming, incarnation: Incarnation, seq: int
) -> Later[Answer]:
    message, producer = incoming.message, incarnation.producer
    kept = producer.check(incarnation, seq, message.id)
    if kept is not None:
        if isinstance(kept.outcome, Refused):
            raise kept.outcome
        details = kept.outcome if kept.outcome is not None else {"forgotten": True}
        return Answer(details)

    try:
        if message.type in RESERVED_TYPES and message.type != "echo":
            raise Refused("reserved_type", f"a {message.type!r} message cannot be numbered")
        answer = handle(services, incoming)
    except Refused as error:
        _refused(producer, seq, message.id, error)
    if isinstance(answer, asyncio.Future):
        settled = partial(_settled, producer, seq, message.id)
        return then(answer, settled, partial(_refused, producer, seq, message.id))
    return _settled(producer, seq, message.id, answer)


def _settled(producer: Producer, seq: int, ident: str | None, answer: Answer | None) -> Answer:
    made = answer if answer is not None else Answer({})
    producer.settle(seq, ident, made.details, len(_encode(made.details)))
    return Answer(made.details, made.positions, made.behind)


def _refused(producer: Producer, seq: int, ident: str | None, error: BaseException) -> NoReturn:
    if isinstance(error, Refused) and error.code not in _NOT_FINAL:
        producer.settle(seq, ident, error, len(str(error)))
    raise error
