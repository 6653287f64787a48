"""What each message of a client means: the same on every transport. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.messages import RESERVED_TYPES, Message, check_payload
from rtlab.server.feed import Feed, parse_plan
from rtlab.server.frames import NAME_CHARS, Frame, Mark, error_message
from rtlab.server.rooms.hub import Hub
from rtlab.server.sessions import Session

__all__ = ["MAX_BATCH", "MAX_FEEDS", "MAX_ROOMS", "Protocol", "Refused", "Result"]

# Limits
MAX_ROOMS: Final = 64
MAX_FEEDS: Final = 4
MAX_BATCH: Final = 1000

#: What became of one message: ``{"ok": True, "id": …, …}`` or ``{"ok": False, "id": …, "error": …}``.
Result = dict[str, Any]


class Refused(Exception):
    """A message that was read, and cannot be obeyed.

    Parameters
    ----------
    code : str
        A stable word for programs.
    text : str
        What was expected, what came, what to do.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Protocol:
    """Handles the messages of all sessions of one server.

    Parameters
    ----------
    hub : Hub
        The rooms.
    clock : callable
        Seconds, monotonic: stamps echoes and feeds.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._clock = clock
        self._feeds = 0
        self._handlers: dict[str, Callable[[Session, Message, bool], Result | None]] = {
            "echo": self._echo,
            "ping": self._ping,
            "pong": self._nothing,
            "ack": self._confirm,
            "auth": self._auth,
            "join_room": self._join,
            "leave_room": self._leave,
            "feed": self._feed,
            "batch": self._batch,
        }

    def receive(self, session: Session, message: Message) -> Result:
        """Obey one message: answers go down the session's stream.

        Parameters
        ----------
        session : Session
            Who sent it.
        message : Message
            Decoded, otherwise untrusted.

        Returns
        -------
        dict
            What became of it, for transports with a second answer (HTTP).
        """
        return self._obey(session, message, alone=True)

    def _obey(self, session: Session, message: Message, *, alone: bool) -> Result:
        try:
            if message.id is not None and len(message.id) > NAME_CHARS:
                message.id = None
                raise Refused("wrong_id", f"id: expected at most {NAME_CHARS} characters")
            details = self._dispatch(session, message, alone)
        except Refused as error:
            refusal = error_message(error.code, str(error), message.id)
            if alone:
                session.send(refusal)
            return {"ok": False, "id": message.id, "error": refusal.payload}
        return {"ok": True, "id": message.id, **(details or {})}

    def _dispatch(self, session: Session, message: Message, alone: bool) -> Result | None:
        kind = message.type
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(session, message, alone)
        if kind in RESERVED_TYPES:
            raise Refused("reserved_type", f"only the server sends {kind!r} messages")
        _check_name("type", kind)
        room_id = _room_of(message)
        if room_id is None:
            raise Refused(
                "unknown_type", f"{kind!r} is no type of the server's: add a roomId to publish it to a room"
            )
        return self._publish(session, message, room_id, alone)

    # Direct answers

    def _echo(self, session: Session, message: Message, alone: bool) -> None:
        session.send(Message("echo", message.payload, id=message.id, ts=message.ts, sent=self._clock()))

    def _ping(self, session: Session, message: Message, alone: bool) -> None:
        session.send(Message("pong", message.payload, id=message.id))

    def _nothing(self, session: Session, message: Message, alone: bool) -> None:
        """A pong needs no answer."""

    def _confirm(self, session: Session, message: Message, alone: bool) -> None:
        """``ack {"seq": n}`` from a client: it has everything up to position n."""
        seq = _field(message.payload, "seq")
        if isinstance(seq, int) and not isinstance(seq, bool):
            session.confirm(seq)

    def _auth(self, session: Session, message: Message, alone: bool) -> Result:
        return self._ack(session, message, alone, {"required": False})

    def _ack(
        self, session: Session, message: Message, alone: bool, details: Result, mark: Mark | None = None
    ) -> Result:
        if alone:
            frame = Frame(
                Message("ack", details, id=message.id, room_id=details.get("roomId")),
                () if mark is None else (mark,),
            )
            session.deliver(frame)
        return details

    # Rooms

    def _publish(self, session: Session, message: Message, room_id: str, alone: bool) -> Result:
        if room_id not in session.rooms:
            raise Refused("not_joined", f"you are not in room {room_id!r}: send join_room first")
        copy = Message(
            message.type, message.payload, id=message.id, client_id=session.client_id, ts=message.ts
        )
        published = self._hub.publish(room_id, copy).message
        details = {"offset": published.offset, "epoch": published.epoch}
        if message.id is not None:
            self._ack(session, message, alone, details)
        return details

    def _join(self, session: Session, message: Message, alone: bool) -> Result:
        room_id = _room_of(message)
        if room_id is None:
            raise Refused("wrong_payload", 'join_room: expected a roomId, as in {"roomId": "lobby"}')
        epoch = message.epoch if message.epoch is not None else _field(message.payload, "epoch")
        offset = message.offset if message.offset is not None else _field(message.payload, "offset")
        if (epoch is None) != (offset is None):
            raise Refused("wrong_payload", "join_room: epoch and offset come together, or neither")
        if not isinstance(epoch, str | None) or not isinstance(offset, int | None) or offset is True:
            raise Refused("wrong_payload", "join_room: expected a string epoch and a whole offset")
        self.check_room(session, room_id)
        joined = self._hub.join(session, room_id, epoch, offset)
        session.rooms[room_id] = None
        details = {
            "roomId": room_id,
            "recovered": joined.recovered,
            "epoch": joined.epoch,
            "offset": joined.offset,
        }
        start = joined.offset - len(joined.missed)
        self._ack(session, message, alone, details, Mark(room_id, joined.epoch, start))
        for frame in joined.missed:
            session.deliver(frame)
        return details

    def check_room(self, session: Session, room_id: str) -> None:
        """Raise `Refused` unless a session may enter one more room of this name."""
        _check_name("roomId", room_id)
        if room_id not in session.rooms and len(session.rooms) >= MAX_ROOMS:
            raise Refused("too_many_rooms", f"you are in {MAX_ROOMS} rooms: leave one first")
        if room_id not in self._hub and self._hub.full:
            raise Refused("too_many_rooms", "the server has no place for another room: try again later")

    def _leave(self, session: Session, message: Message, alone: bool) -> Result:
        room_id = _room_of(message)
        if room_id is None:
            raise Refused("wrong_payload", 'leave_room: expected a roomId, as in {"roomId": "lobby"}')
        session.rooms.pop(room_id, None)
        self._hub.leave(session, room_id)
        return self._ack(session, message, alone, {"roomId": room_id}, Mark(room_id, "", None))

    # Feeds

    def _feed(self, session: Session, message: Message, alone: bool) -> Result:
        stop = _field(message.payload, "stop")
        if stop is not None:
            feed = session.feeds.pop(stop, None) if isinstance(stop, str) else None
            if feed is None:
                raise Refused("unknown_feed", f"no feed {stop!r:.40} of yours is running")
            feed.stop()
            return self._ack(session, message, alone, {"feed": stop, "stopped": True})
        try:
            plan = parse_plan(message.payload)
        except ValueError as error:
            raise Refused("wrong_payload", f"feed: {error}") from None
        if len(session.feeds) >= MAX_FEEDS:
            raise Refused("too_many_feeds", f"{MAX_FEEDS} feeds are running: stop one first")
        self._feeds += 1
        feed_id = f"f{self._feeds}"
        ended: Callable[[str], object] = lambda name: session.feeds.pop(name, None)  # noqa: E731
        feed = session.feeds[feed_id] = Feed(feed_id, plan, session.send, self._clock, ended)
        details = self._ack(session, message, alone, {"feed": feed_id})
        feed.start()
        return details

    # Batches

    def _batch(self, session: Session, message: Message, alone: bool) -> Result:
        items = message.payload
        if not alone:
            raise Refused("wrong_payload", "batch: a batch cannot hold a batch")
        if not isinstance(items, list):
            raise Refused("wrong_payload", "batch: expected a list of messages")
        items = cast("list[Any]", items)
        if len(items) > MAX_BATCH:
            raise Refused("wrong_payload", f"batch: expected at most {MAX_BATCH} messages, got {len(items)}")
        before = dict(session.rooms)
        results = [self._batched(session, item) for item in items]
        left = [Mark(room_id, "", None) for room_id in before if room_id not in session.rooms]
        rooms = (self._hub[room_id] for room_id in session.rooms)
        marks = [*left, *(Mark(room.room_id, room.epoch, room.offset) for room in rooms)]
        details: Result = {"results": results}
        session.deliver(Frame(Message("ack", details, id=message.id), tuple(marks)))
        return details

    def _batched(self, session: Session, item: Any) -> Result:
        try:
            message = msgspec.convert(item, Message)
            check_payload(message.payload)
        except (msgspec.ValidationError, MessageError) as error:
            return {"ok": False, "id": None, "error": {"code": "wrong_type", "message": str(error)}}
        return self._obey(session, message, alone=False)


def _field(payload: object, name: str) -> Any:
    return cast("dict[str, Any]", payload).get(name) if isinstance(payload, dict) else None


def _room_of(message: Message) -> str | None:
    """Return the room, on top or in the payload: both are spoken."""
    room_id = message.room_id if message.room_id is not None else _field(message.payload, "roomId")
    if room_id is not None and not isinstance(room_id, str):
        raise Refused("wrong_payload", f"roomId: expected a string, got {room_id!r:.40}")
    if room_id is not None:
        _check_name("roomId", room_id)
    return room_id


def _check_name(what: str, name: str) -> None:
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise Refused("wrong_payload", f"{what}: expected 1 to {NAME_CHARS} printable characters")
