"""``join_room`` and ``leave_room``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, NoReturn

from rtlab.server.frames_encoded_once import RoomPosition
from rtlab.server.handlers.handler_interface import Services, field, room_of
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.maybe_awaitable_values import Later, then
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.rooms.name_and_join_rules import check_entry

__all__ = ["join_room", "leave_room"]


def join_room(services: Services, incoming: Incoming) -> Later[Answer]:
    """Enter a room, and send the messages missed there after the ack.

    With ``probe`` a client asks whether it still is a member, without an announcement to the
    room; ``member`` in the ack says so. Missed messages follow only if it was no member: a
    member gets them through its session.
    """
    session, message = incoming.session, incoming.message
    room_id = room_of(incoming)
    if room_id is None:
        raise Refused("wrong_payload", 'join_room: expected a roomId, as in {"roomId": "lobby"}')
    user = field(message.payload, "user")
    if user not in (None, session.user):
        raise Refused(
            "wrong_user",
            f"join_room: this connection is {session.user!r}'s, got user {user!r:.80}: "
            "open another connection for another user",
        )
    epoch = message.epoch if message.epoch is not None else field(message.payload, "epoch")
    offset = message.offset if message.offset is not None else field(message.payload, "offset")
    if (epoch is None) != (offset is None):
        raise Refused("wrong_payload", "join_room: epoch and offset come together, or neither")
    if not isinstance(epoch, str | None) or not isinstance(offset, int | None) or offset is True:
        raise Refused("wrong_payload", "join_room: expected a string epoch and a whole offset")
    check_entry(services.hub, session.rooms, room_id)
    quietly = field(message.payload, "probe") is True
    ready = services.broker.enter(room_id, epoch, offset)
    if isinstance(ready, asyncio.Future):
        go = partial(_join_later, services, incoming, room_id, epoch, offset, quietly=quietly)
        return then(ready, go, _raise)
    return _join(services, incoming, room_id, epoch, offset, quietly=quietly)


def _join_later(
    services: Services,
    incoming: Incoming,
    room_id: str,
    epoch: str | None,
    offset: int | None,
    _: None,
    *,
    quietly: bool,
) -> Answer:
    if incoming.session.over:
        raise Refused("session_ended", "the session ended before the room was ready")
    check_entry(services.hub, incoming.session.rooms, room_id)
    return _join(services, incoming, room_id, epoch, offset, quietly=quietly)


def _raise(error: BaseException) -> NoReturn:
    raise error


def _join(
    services: Services,
    incoming: Incoming,
    room_id: str,
    epoch: str | None,
    offset: int | None,
    *,
    quietly: bool,
) -> Answer:
    session = incoming.session
    joined = services.hub.join(session, room_id, epoch, offset, quietly=quietly)
    session.rooms[room_id] = None
    details: dict[str, Any] = {
        "roomId": room_id,
        "recovered": joined.recovered,
        "epoch": joined.epoch,
        "offset": joined.offset if joined.recovered and epoch is not None else joined.place,
    }
    if quietly:
        details["member"] = joined.member
        if joined.member:
            known = epoch == joined.epoch and offset is not None and 0 <= offset <= joined.offset
            return Answer({**details, "recovered": known, "offset": joined.offset})
    start = joined.offset - len(joined.missed)
    return Answer(details, (RoomPosition(room_id, joined.epoch, start),), joined.missed)


def leave_room(services: Services, incoming: Incoming) -> Answer:
    """Leave a room; one that the client is not in is no error."""
    room_id = room_of(incoming)
    if room_id is None:
        raise Refused("wrong_payload", 'leave_room: expected a roomId, as in {"roomId": "lobby"}')
    incoming.session.rooms.pop(room_id, None)
    services.hub.leave(incoming.session, room_id)
    return Answer({"roomId": room_id}, (RoomPosition(room_id, "", None),))
