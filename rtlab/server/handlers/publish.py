"""The handler of all other types: it publishes a message to the room that the message names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from rtlab.protocol.message_format import RESERVED_TYPES, Message
from rtlab.server.brokers.room_publishing_interface import BrokerFailed, Published
from rtlab.server.handlers.handler_interface import Services, room_of
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.maybe_awaitable_values import Later, forward, then
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.rooms.name_and_join_rules import check_name
from rtlab.server.rooms.room_membership_hub import Hub

__all__ = ["BLOCK_TIMEOUT", "BROKER_TIMEOUT", "publish"]

#: Seconds that a broker may take to answer; the sender's further messages wait meanwhile.
BROKER_TIMEOUT: Final = 5.0

#: Seconds that a publish waits for room members that do not read, under the policy ``block``; less
#: than a client waits for the answer to a POST.
BLOCK_TIMEOUT: Final = 8.0


def publish(services: Services, incoming: Incoming) -> Later[Answer]:
    """Publish a message; its ack has the epoch and the offset that the broker has given it."""
    session, message = incoming.session, incoming.message
    kind = message.type
    if kind in RESERVED_TYPES:
        raise Refused("reserved_type", f"only the server sends {kind!r} messages")
    check_name("type", kind)
    room_id = room_of(incoming)
    if room_id is None:
        raise Refused(
            "unknown_type", f"{kind!r} is no type of the server's: add a roomId to publish it to a room"
        )
    if room_id not in session.rooms:
        raise Refused("not_joined", f"you are not in room {room_id!r}: send join_room first")
    copy = Message(kind, message.payload, id=message.id, client_id=session.client_id, ts=message.ts)
    if message.stream is not None:
        copy.seq, copy.stream = message.seq, message.stream  # by these, receivers drop repeats across epochs
    acknowledge = message.id is not None
    if services.overflow.may_block(room_id) and services.hub.blocker(room_id) is not None:
        services.overflow.counts["block"] += 1
        go = partial(_publish, services, room_id, copy, acknowledge)
        return _Blocked(services.hub, room_id, go).wait()
    if services.hub.fan_out.lags(room_id):
        go = partial(_publish, services, room_id, copy, acknowledge)
        return services.hub.fan_out.when_delivered(room_id, go)
    return _publish(services, room_id, copy, acknowledge)


def _publish(services: Services, room_id: str, copy: Message, acknowledge: bool) -> Later[Answer]:
    try:
        published = services.broker.publish(room_id, copy)
    except BrokerFailed as error:
        return _failed(error)
    if not isinstance(published, asyncio.Future):
        return _published(published, acknowledge)
    return then(_limited(published), lambda published: _published(published, acknowledge), _failed)


def _published(published: Published, acknowledge: bool) -> Answer:
    return Answer({"offset": published.offset, "epoch": published.epoch}, acknowledge=acknowledge)


def _failed(error: BaseException) -> Answer:
    if isinstance(error, BrokerFailed | asyncio.CancelledError):
        raise Refused("not_published", f"the broker did not take the message: {error}") from None
    raise error


class _Blocked:
    """A publish that waits until no member's queue is full (the policy ``block``).

    Only its sender waits: the sender's later messages are not handled meanwhile.

    Parameters
    ----------
    hub : Hub
        All rooms.
    room_id : str
        The room.
    go : callable
        Publishes the message.
    """

    def __init__(self, hub: Hub, room_id: str, go: Callable[[], Later[Answer]]) -> None:
        self._hub = hub
        self._room_id = room_id
        self._go = go

    def wait(self) -> asyncio.Future[Answer]:
        """Return the future of the answer; it fails with `Refused` after `BLOCK_TIMEOUT` seconds."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Answer] = loop.create_future()
        timer = loop.call_later(BLOCK_TIMEOUT, self._expire, result)
        result.add_done_callback(lambda _: timer.cancel())
        self._look(result)
        return result

    def _look(self, result: asyncio.Future[Answer]) -> None:
        if result.done():
            return
        member = self._hub.blocker(self._room_id)
        if member is None:
            forward(self._go, result)
        else:
            member.when_changed(partial(self._look, result))

    def _expire(self, result: asyncio.Future[Answer]) -> None:
        if not result.done():
            text = (
                f"a member of room {self._room_id!r} has read nothing for {BLOCK_TIMEOUT:g} s: not published"
            )
            result.set_exception(Refused("blocked", text))


def _limited(published: asyncio.Future[Published]) -> asyncio.Future[Published]:
    """Return a future of the broker's answer that fails with `BrokerFailed` after `BROKER_TIMEOUT`."""
    loop = published.get_loop()
    result: asyncio.Future[Published] = loop.create_future()

    def late() -> None:
        if not result.done():
            text = f"no answer within {BROKER_TIMEOUT:g} s; it may have been published all the same"
            result.set_exception(BrokerFailed(text))

    timer = loop.call_later(BROKER_TIMEOUT, late)

    def come(_: object) -> None:
        timer.cancel()
        if published.cancelled():
            error: BaseException | None = BrokerFailed("it gave up")
        else:
            error = published.exception()
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(published.result())

    published.add_done_callback(come)
    return result
