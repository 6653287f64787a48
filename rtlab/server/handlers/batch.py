"""``batch``: many messages in one, handled in order and answered by one ack."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, cast

from rtlab.errors import MessageError
from rtlab.protocol.batches import message_of
from rtlab.protocol.limits import MAX_BATCH
from rtlab.protocol.message_format import CheckedItems, Message
from rtlab.server.frames_encoded_once import RoomPosition
from rtlab.server.handlers.handler_interface import Services
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.maybe_awaitable_values import InOrder, Later, then
from rtlab.server.refusal_and_end_reasons import AnswerPayload, Refused
from rtlab.server.sessions.session_with_replay import Session

__all__ = ["batch"]


class _Item:
    """Decoder of a batch's items; the batch was already decoded, and its values checked, as a whole."""

    def decode(self, data: Any, max_bytes: int) -> Message:
        return message_of(data)


class _InTheAck:
    """Sends no answers to single items, because the batch's ack contains all results."""

    def acknowledge(self, session: Session, message: Message, answer: Answer) -> None:
        for frame in answer.behind:
            session.deliver(frame, asked_for=True)

    def refuse(self, session: Session, message: Message, error: Refused) -> None:
        """Do nothing: the batch's ack says it."""

    def unreadable(self, session: Session, error: MessageError, text: str) -> None:
        """Do nothing: the batch's ack says it."""


_ITEM: Final = _Item()
_IN_THE_ACK: Final = _InTheAck()


def batch(services: Services, incoming: Incoming) -> Later[Answer]:
    """Pass each item through all steps, one after the other."""
    session, items = incoming.session, incoming.message.payload
    if incoming.decoder is _ITEM:
        raise Refused("wrong_payload", "batch: a batch cannot hold a batch")
    if not isinstance(items, list):
        raise Refused("wrong_payload", "batch: expected a list of messages")
    items = cast("list[Any]", items)
    if len(items) > MAX_BATCH:
        raise Refused("wrong_payload", f"batch: expected at most {MAX_BATCH} messages, got {len(items)}")
    before = dict(session.rooms)
    receive = services.receive_item
    results: list[AnswerPayload] = []
    for n, item in enumerate(items):
        result = receive(session, item, _ITEM, _IN_THE_ACK)
        if isinstance(result, asyncio.Future):
            return _later(services, session, before, results, result, items[n + 1 :])
        results.append(result)
    return _answer(services, session, before, results)


def _later(
    services: Services,
    session: Session,
    before: dict[str, None],
    results: list[AnswerPayload],
    waits: asyncio.Future[AnswerPayload],
    items: list[Any],
) -> Later[Answer]:
    """Answer once the item that waits has its result, and the items after it are handled."""
    order = InOrder()
    receive = services.receive_item
    later = [order.run(lambda: waits)]
    later += [order.run(partial(receive, session, item, _ITEM, _IN_THE_ACK)) for item in items]

    def done(_: object) -> Answer:
        return _answer(services, session, before, results + [_result(result) for result in later])

    # Items are handled in order: when the last one has its result, all have theirs.
    return then([result for result in later if isinstance(result, asyncio.Future)][-1], done, _failed)


def _result(result: Later[AnswerPayload]) -> AnswerPayload:
    return result.result() if isinstance(result, asyncio.Future) else result


def _failed(error: BaseException) -> Answer:
    raise error


def _answer(
    services: Services, session: Session, before: dict[str, None], results: list[AnswerPayload]
) -> Answer:
    left = [RoomPosition(room_id, "", None) for room_id in before if room_id not in session.rooms]
    rooms = (services.hub[room_id] for room_id in session.rooms)
    positions = [*left, *(RoomPosition(room.room_id, room.epoch, room.offset) for room in rooms)]
    return Answer({"results": CheckedItems(results)}, tuple(positions))
