"""The interface of handlers, and the services that they may use."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol, cast

from rtlab.protocol.json_and_messagepack_codecs import Codec
from rtlab.server.brokers.room_publishing_interface import Broker
from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.incoming_message import NOT_ASKED, Answer, Answers, Decoder, Incoming
from rtlab.server.maybe_awaitable_values import Later
from rtlab.server.refusal_and_end_reasons import AnswerPayload, Refused
from rtlab.server.rooms.name_and_join_rules import check_name
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.server.sessions.outbox_deduplication_and_fencing import Producers
from rtlab.server.sessions.session_with_replay import Session
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions, OverflowRules

__all__ = ["MessageHandler", "ReceiveItem", "Services", "field", "room_of"]

#: Passes one item of a batch through all steps.
ReceiveItem = Callable[[Session, Any, Decoder | Codec, Answers], Later[AnswerPayload]]


class Services:
    """The services of a server that handlers use.

    Parameters
    ----------
    hub : Hub
        The rooms.
    broker : Broker
        The broker that rooms publish through.
    producers : Producers
        The results of each client's numbered messages.
    clock : callable
        Seconds, monotonic; gives the time stamps of echoes and feeds.
    turns : Turns, optional
        Divides work among turns of the event loop.
    overflow : OverflowRules, optional
        Knows the rooms in which publishers may have to wait.

    Attributes
    ----------
    renew : callable or None
        Replaces a session's token; None in the open setting.
    feed_numbers : iterator of int
        The numbers from which feeds are named.
    feed_rate : float
        Messages per second of all running feeds together.
    receive_item : ReceiveItem
        Passes one item of a batch through all steps; set by the ingress.
    """

    receive_item: ReceiveItem

    def __init__(
        self,
        hub: Hub,
        broker: Broker,
        producers: Producers,
        clock: Callable[[], float],
        turns: Turns | None = None,
        overflow: OverflowRules | None = None,
    ) -> None:
        self.hub = hub
        self.broker = broker
        self.producers = producers
        self.clock = clock
        self.turns = turns or Turns()
        self.overflow = overflow or OverflowRules(OverflowOptions(), clock)
        self.renew: Callable[[Session, object], Answer] | None = None
        self.feed_numbers = itertools.count(1)
        self.feed_rate = 0.0


class MessageHandler(Protocol):
    """Handles the messages of one type."""

    def __call__(self, services: Services, incoming: Incoming, /) -> Later[Answer] | None:
        """Return the answer, None for no acknowledgement; raise `Refused` to refuse the message."""
        ...


def field(payload: object, name: str) -> Any:
    """Return a field of a payload; None if the payload is no object, or has no such field."""
    return cast("dict[str, Any]", payload).get(name) if isinstance(payload, dict) else None


def room_of(incoming: Incoming) -> str | None:
    """Return the room that a message names: in its ``roomId``, or in the ``roomId`` of its payload.

    Several steps and the handler call this, so the result is kept in `Incoming.room`.

    Raises
    ------
    Refused
        For a value that is not a legal name of a room.
    """
    if incoming.room is not NOT_ASKED:
        return incoming.room
    message = incoming.message
    room_id = message.room_id if message.room_id is not None else field(message.payload, "roomId")
    if room_id is not None:
        if not isinstance(room_id, str):
            raise Refused("wrong_payload", f"roomId: expected a string, got {room_id!r:.40}")
        check_name("roomId", room_id)
    incoming.room = room_id
    return room_id
