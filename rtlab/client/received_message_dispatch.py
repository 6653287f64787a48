"""Passes each received message to its handlers, once and in order, and reports every gap.

`MessageDispatch` calls handlers, passes answers to `Requests`, feeds the open `MessageIterator`, tracks the
positions in rooms and drops repeats. It does no I/O; `ConnectionAttempt` passes it each message.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from rtlab.client.connection_watchers import WireWatch
from rtlab.client.delivery.repeats_and_gaps import REPEAT_WINDOW, NewestNames, Position
from rtlab.client.event_emitter import LOCAL_EVENTS, Emitter, ErrorEvent, Resync
from rtlab.client.message_iterator import MessageIterator
from rtlab.client.pending_requests_and_answers import Requests, published
from rtlab.errors import MessageError, describe
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import Message, fields_of

if TYPE_CHECKING:
    from rtlab.protocol.payload_schemas import Schemas  # it imports a schema compiler, so only on demand

__all__ = ["MessageDispatch"]

_log: Final = logging.getLogger("rtlab")


class _Asked(NamedTuple):
    """An unanswered ``join_room``: its room, the position to resume from, and whether this was a member."""

    room_id: str
    epoch: str | None
    offset: int | None
    member: bool


class MessageDispatch:
    """Processes every message after the transport has decoded it.

    Parameters
    ----------
    clock : callable
        Returns monotonic seconds.
    requests : Requests
        The open requests, which receive their answers from here.
    client_id : str or None
        This client's durable name; None lets the server choose one.
    max_queue : int
        Messages that may wait for an open iterator, at least 1.
    max_dead_letters : int
        How many of the newest refused messages to keep.
    schemas : Schemas or None
        Schemas of the payloads; None checks nothing.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        requests: Requests,
        *,
        client_id: str | None = None,
        max_queue: int = 1024,
        max_dead_letters: int = 100,
        schemas: Schemas | None = None,
    ) -> None:
        if max_queue < 1:
            raise ValueError(f"expected max_queue >= 1, got {max_queue}")
        self.emitter = Emitter()
        self.wire = WireWatch()
        self.position = Position(client_id)
        self.dead_letters: deque[tuple[Message | None, Exception]] = deque(maxlen=max_dead_letters)
        self.messages_in = 0
        self.repeats = 0
        self._clock = clock
        self._requests = requests
        self._max_queue = max_queue
        self._schemas = schemas
        self._stream: weakref.ref[MessageIterator] | None = None
        self._over: tuple[Exception | None] | None = None
        self._joins: dict[str, _Asked] = {}  # by the id of the join_room
        self._names = NewestNames(REPEAT_WINDOW)
        self._batches: dict[str, tuple[str, ...]] = {}  # id of a batch → ids of its joins

    # Receiving

    def put(self, message: Message, cursor: str | None) -> asyncio.Event | None:
        """Handle one message; if the open iterator's queue is full, return the event to wait for.

        Parameters
        ----------
        message : Message
            The received message.
        cursor : str or None
            The resume token that came with the message, if the transport has such tokens.
        """
        if self.wire.watchers:
            self.wire.tell("peer", "message", message)
        receipt = self.position.count(cursor)
        if receipt is None or (message.room_id is not None and not self._follow(message)):
            return None
        if message.stream is not None and self._names.again(message.client_id, message.id):
            self.repeats += 1
            self.position.settle(receipt)
            return None
        if self._schemas is not None:
            try:
                self._schemas.check(message)
            except MessageError as error:
                self.position.settle(receipt)
                self.refuse(message, error, "schema")
                return None
        self.messages_in += 1
        self._deliver(message)
        stream = self.stream
        if stream is None or stream.ended:
            self.position.settle(receipt)
            return None
        stream.put(message, receipt)
        # Only the event is returned: a waiting reader that referred to the stream would keep
        # an abandoned iterator alive.
        return None if stream.space.is_set() else stream.space

    def has_room(self) -> bool:
        """Return whether no iterator is open, or the open one has room for two more messages."""
        stream = self.stream
        return stream is None or stream.ended or stream.has_room(2)

    def put_unreadable(self, error: MessageError) -> None:
        """Count a frame that could not be decoded, and report it."""
        if self.position.count(None) is not None:
            self.refuse(None, error, "codec")

    def _follow(self, message: Message) -> bool:
        if message.type == "skipped" and self.position.session is not None and message.room_id is not None:
            said = fields_of(message.payload)
            verdict = self.position.skip(message.room_id, said.get("epoch"), said.get("from"), said.get("to"))
        else:
            verdict = self.position.accept(message)
        if verdict == "repeat":
            self.repeats += 1
            return False
        if verdict == "gap":
            self._resync(
                message.room_id, message.epoch, message.offset, "messages are missing before this one"
            )
        return True

    def _deliver(self, message: Message) -> None:
        kind, handled = message.type, self.emitter.names
        answered = False
        if message.id is not None and (self.position.session is None or not published(message)):
            if kind in ("ack", "error"):
                self._note_joins(message.id, message)
            answered = self._requests.answer(message)
        if kind == "error":
            detail = fields_of(message.payload)
            text, code = str(detail.get("message", "error")), str(detail.get("code", ""))
            # If the error answers a request, the request raises it: no need to log it as well.
            self.report("server", text, code=code, ref=message.id, log=not answered)
        elif kind in handled and kind not in LOCAL_EVENTS:
            self.tell(kind, message)
        if "*" in handled:
            self.tell("*", message)

    def tell(self, name: str, value: Any) -> None:
        """Call the handlers of one event name or message type; report what they raise."""
        for error in self.emitter.emit(name, value):
            self.report("handler", f"a handler of {name!r} raised {describe(error)}", error=error)

    def report(
        self,
        source: str,
        text: str,
        *,
        code: str = "",
        error: BaseException | None = None,
        ref: str | None = None,
        log: bool = True,
    ) -> None:
        """Emit an ``error`` event, or log it if no handler is registered."""
        if "error" not in self.emitter.names:
            if log:
                _log.warning("%s: %s", source, text)
            return
        event = ErrorEvent(at=self._clock(), source=source, message=text, code=code, error=error, ref=ref)
        for raised in self.emitter.emit("error", event):
            _log.warning("an error handler raised %s", describe(raised))

    def refuse(self, message: Message | None, error: Exception, source: str) -> None:
        """Keep a refused message as a dead letter, and report it; None: it could not be decoded."""
        self.dead_letters.append((message, error))
        self.report(source, str(error), code=getattr(error, "code", ""), error=error)

    # Sessions and rooms

    def begin(self, welcome: Message) -> bool:
        """Start or continue the session that a ``welcome`` names.

        Parameters
        ----------
        welcome : Message
            The server's first message on the connection.

        Returns
        -------
        bool
            Whether the server resumed the former session.
        """
        if self.wire.watchers:
            self.wire.tell("peer", "message", welcome)
        detail, position = fields_of(welcome.payload), self.position
        resumed, had_session = detail.get("resumed") is True, position.session is not None
        seq = detail.get("seq")
        if resumed:
            position.go_on(seq if type(seq) is int else position.resume().seq)
        else:
            base = seq if type(seq) is int and seq >= 0 else 0
            name = detail.get("clientId")
            client_id = name if isinstance(name, str) else position.client_id
            position.begin(client_id, str(detail.get("session", "")), base)
            for room_id, place in fields_of(detail.get("rooms")).items():
                self._enter(room_id, fields_of(place))
            if had_session:
                self._resync(None, None, None, "the session has expired: direct messages may be missing")
        return resumed

    def _enter(self, room_id: str, place: dict[str, Any]) -> None:
        """Follow a room that the connection's URL named, from the offset in the welcome."""
        epoch, offset = place.get("epoch"), place.get("offset")
        if room_id not in self.position.rooms and isinstance(epoch, str) and type(offset) is int:
            self.position.enter(room_id, epoch, offset)

    @staticmethod
    def limit_of(welcome: Message) -> int:
        """Return the largest message that the server accepts, in bytes."""
        limit = fields_of(fields_of(welcome.payload).get("limits")).get("maxMessageBytes")
        return limit if type(limit) is int and limit > 0 else MAX_MESSAGE_BYTES

    def rejoins(self, max_bytes: int) -> list[Message]:
        """Return messages that repeat unanswered leaves, and join the other rooms from their offsets.

        Rooms whose membership the server has confirmed in this session are left out.

        Parameters
        ----------
        max_bytes : int
            The largest message to send. All joins go in one ``batch`` if they fit.
        """
        leaving = sorted(self.position.leaving)
        leaves = [Message("leave_room", {"roomId": one}, id=self._requests.new_id()) for one in leaving]
        groups: list[list[Message]] = []
        size = max_bytes
        for room_id in self.position.unconfirmed():
            join = self.join(room_id)
            # 100 bytes are more than enough for the comma and the batch's own fields.
            length = len(JSON.encode(join)) + 100
            size += length
            if size > max_bytes:
                groups.append([])
                size = length
            groups[-1].append(join)
        return leaves + [group[0] if len(group) == 1 else self._batch(group) for group in groups]

    def _batch(self, joins: list[Message]) -> Message:
        ident = self._requests.new_id()
        self._batches[ident] = tuple(join.id for join in joins if join.id is not None)
        items = [{"type": join.type, "payload": join.payload, "id": join.id} for join in joins]
        return Message("batch", items, id=ident)

    def join(self, room_id: str, *, probe: bool = False) -> Message:
        """Make a ``join_room`` message that resumes from this client's position in the room.

        Parameters
        ----------
        room_id : str
            The room's name.
        probe : bool
            Whether to ask the server if this client was still a member.
        """
        room = self.position.rooms.get(room_id)
        payload: dict[str, Any] = {"roomId": room_id}
        epoch, offset = (None, None) if room is None else (room.epoch, room.received)
        if room is not None:
            payload |= {"epoch": epoch, "offset": offset}
        if probe:
            payload["probe"] = True
        ident = self._requests.new_id()
        # In a new session, this client is a member only once the server has confirmed the new join.
        member = room is not None and room.session == self.position.session
        self._joins[ident] = _Asked(room_id, epoch, offset, member)
        return Message("join_room", payload, id=ident)

    def forget_join(self, join: Message) -> None:
        """Ignore a late answer to a ``join_room`` that was given up."""
        self._joins.pop(join.id or "", None)

    def forget_joins(self) -> None:
        """Forget every unanswered ``join_room``: the connection that would have answered is gone."""
        self._joins.clear()
        self._batches.clear()

    def _note_joins(self, ident: str, answer: Message) -> None:
        """Update room positions from the answer to a ``join_room``, or to a batch of them."""
        detail = fields_of(answer.payload)
        batch = self._batches.pop(ident, None)
        if batch is None:
            self._note_join(ident, detail, refused=answer.type == "error")
        elif answer.type == "error":
            for one in batch:
                self._note_join(one, detail, refused=True)
        else:
            results = detail.get("results")
            for result in map(fields_of, cast("list[object]", results) if isinstance(results, list) else ()):
                refused = result.get("ok") is not True
                words = fields_of(result.get("error")) if refused else result
                self._note_join(str(result.get("id")), words, refused=refused)

    def _note_join(self, ident: str, detail: dict[str, Any], *, refused: bool) -> None:
        asked = self._joins.pop(ident, None)
        if asked is None:
            return
        room_id = asked.room_id
        room = self.position.rooms.get(room_id)
        followed = room is not None
        if refused:
            self.position.leave(room_id)
            if followed:
                text = f"the room does not take this client back: {detail.get('message', 'refused')}"
                self._resync(room_id, None, None, text)
            return
        epoch, offset = detail.get("epoch"), detail.get("offset")
        if not isinstance(offset, int) or not isinstance(epoch, str):
            return
        recovered = detail.get("recovered") is True
        dropped = asked.member and detail.get("member") is False
        if room is not None:
            room.session = self.position.session
            # Messages that follow the joins of a batch arrive before this answer, and showed any gap already.
            moved = (room.epoch, room.received) != (asked.epoch, asked.offset)
            if not dropped and (recovered or (moved and room.epoch == epoch and room.received >= offset)):
                return
        if not (followed and recovered):
            self.position.enter(room_id, epoch, offset)
        if followed:
            reason = "the room's history no longer reaches back that far"
            if dropped:
                reason = "the server had dropped this subscription without a word; the room was entered again"
            self._resync(room_id, epoch, offset, reason)

    def _resync(self, room_id: str | None, epoch: str | None, offset: int | None, reason: str) -> None:
        event = Resync(at=self._clock(), room_id=room_id, epoch=epoch, offset=offset, reason=reason)
        self.tell("resync", event)

    # Iterating

    @property
    def stream(self) -> MessageIterator | None:
        """The open iterator; None without one."""
        return self._stream() if self._stream is not None else None

    def iterate(self) -> MessageIterator:
        """Open an iterator; this ends an earlier one."""
        former = self.stream
        if former is not None:
            former.finish(None)
        stream = MessageIterator(self.position.settle, self._max_queue)
        space = stream.space
        # When an iterator is garbage-collected, wake the reader that may wait for room in its queue.
        self._stream = weakref.ref(stream, lambda _: space.set())
        if self._over is not None:
            stream.finish(*self._over)
        return stream

    def start(self) -> None:
        """Let iterators wait for messages (again): the connection is being opened."""
        self._over = None

    def finish(self, error: Exception | None) -> None:
        """End the open iterator after the messages that it still holds, and end later iterators at once."""
        self._over = (error,)
        stream = self.stream
        if stream is not None:
            stream.finish(error)
        self._stream = None

    def drop(self) -> None:
        """End the open iterator of an event loop that is closed."""
        with suppress(RuntimeError):  # its waiters cannot be woken any more
            self.finish(None)
        self._stream = None
