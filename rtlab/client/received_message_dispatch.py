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
from typing import TYPE_CHECKING, Any, Final

from rtlab.client.connection_watchers import WireWatch
from rtlab.client.delivery.repeats_and_gaps import REPEAT_WINDOW, NewestNames, Position
from rtlab.client.event_emitter import LOCAL_EVENTS, Emitter, ErrorEvent, Resync
from rtlab.client.join_requests import JoinAnswer, JoinRequests
from rtlab.client.message_iterator import MessageIterator
from rtlab.client.pending_requests_and_answers import Requests, is_temporary, published
from rtlab.errors import MessageError, describe
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import Message, fields_of

if TYPE_CHECKING:
    from rtlab.protocol.payload_schemas import Schemas  # it imports a schema compiler, so only on demand

__all__ = ["MessageDispatch"]

_log: Final = logging.getLogger("rtlab")


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
        self.joins = JoinRequests(self.position, requests)
        self.dead_letters: deque[tuple[Message | None, Exception]] = deque(maxlen=max_dead_letters)
        self.messages_in = 0
        self.repeats = 0
        self._clock = clock
        self._requests = requests
        self._max_queue = max_queue
        self._schemas = schemas
        self._stream: weakref.ref[MessageIterator] | None = None
        self._over: tuple[Exception | None] | None = None
        self._names = NewestNames(REPEAT_WINDOW)

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
                for join in self.joins.answered(message.id, message):
                    self._note_join(join)
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

    def _note_join(self, answer: JoinAnswer) -> None:
        """Update the position in a room from the answer to a ``join_room``."""
        asked, detail, refusal = answer
        room_id = asked.room_id
        if refusal is not None:
            if not is_temporary(refusal):
                self.put_out(room_id, refusal)
            elif asked.postpone is not None:
                asked.postpone(room_id, refusal)
            return
        room = self.position.rooms.get(room_id)
        followed = room is not None
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

    def put_out(self, room_id: str, error: Exception) -> None:
        """Stop following a room that the server does not take this client back to, and tell so."""
        followed = room_id in self.position.rooms
        self.position.leave(room_id)
        if followed:
            self._resync(room_id, None, None, f"the room does not take this client back: {error}")

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
