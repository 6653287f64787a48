"""What a handler is, and what it may use."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol, cast

from rtlab.protocol.codecs import Codec
from rtlab.server.brokers.base import Broker
from rtlab.server.incoming_message import NOT_ASKED, Answer, Answers, Decoder, Incoming
from rtlab.server.loop_turns import Turns
from rtlab.server.message_deduplication import Producers
from rtlab.server.ordered_answers import Later
from rtlab.server.refusal import Refused, Result
from rtlab.server.rooms.entry_rules import check_name
from rtlab.server.rooms.hub import Hub
from rtlab.server.session import Session
from rtlab.server.slow_consumer_queue import OverflowOptions, OverflowRules

__all__ = ["Handler", "ReceiveItem", "Services", "field", "room_of"]

#: Passes one item of a batch through all steps.
ReceiveItem = Callable[[Session, Any, Decoder | Codec, Answers], Later[Result]]


class Services:
    """What handlers use of their server.

    Parameters
    ----------
    hub : Hub
        The rooms.
    broker : Broker
        What rooms publish through.
    producers : Producers
        What was handled of each client's numbered messages.
    clock : callable
        Seconds, monotonic: stamps echoes and feeds.
    turns : Turns, optional
        Cuts work into slices.
    overflow : OverflowRules, optional
        Which rooms make publishers wait.

    Attributes
    ----------
    renew : callable or None
        Takes a new token for a session; None where nobody asks for any.
    feed_numbers : iterator of int
        Names of feeds.
    feed_rate : float
        Messages per second of all that run.
    receive_item : ReceiveItem
        Set by the ingress.
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


class Handler(Protocol):
    """Obeys the messages of one type."""

    def __call__(self, services: Services, incoming: Incoming, /) -> Later[Answer] | None:
        """Return what to acknowledge, None when nothing; raise `Refused` for what cannot be obeyed."""
        ...


def field(payload: object, name: str) -> Any:
    """Return a field of a payload; None when it is no object, or has no such field."""
    return cast("dict[str, Any]", payload).get(name) if isinstance(payload, dict) else None


def room_of(incoming: Incoming) -> str | None:
    """Return the room that a message names, on top or in the payload: both are spoken.

    Several steps ask, and the handler; it is looked for once.

    Raises
    ------
    Refused
        For what cannot be a room's name.
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
