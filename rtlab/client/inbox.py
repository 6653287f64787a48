"""What a client does with each message: once, in order, and never a silent gap.

`Inbox` calls handlers, answers requests, feeds the open iterator, follows rooms
and drops repeats. It does no I/O; `Connection` hands it what a transport received.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Self, cast

from rtlab.client.events import LOCAL_EVENTS, Emitter, ErrorEvent, Resync
from rtlab.client.position import Mark, Position
from rtlab.errors import MessageError, NotConnected, RequestRefused
from rtlab.protocol.messages import MAX_MESSAGE_BYTES, Message

__all__ = ["Inbox", "Stream"]

_log: Final = logging.getLogger("rtlab")


class _Pending(NamedTuple):
    """A request that waits for its answer until `deadline`, on the loop's clock."""

    future: asyncio.Future[Message]
    deadline: float
    type: str
    timeout: float


class Stream:
    """An open iterator over messages. The inbox holds it weakly, so dropping it closes it.

    A message counts as handled when the next one is asked for.
    """

    __slots__ = ("__weakref__", "_last", "_limit", "_settle", "end", "ended", "queue", "room")

    def __init__(self, settle: Callable[[Mark], None], limit: int) -> None:
        self._settle = settle
        self._limit = limit
        self._last: Mark | None = None
        self.queue: asyncio.Queue[tuple[Message, Mark] | None] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()
        self.ended = False
        self.end: Exception | None = None

    def put(self, message: Message, mark: Mark) -> None:
        """Add a message; `room` says whether there is space for another."""
        self.queue.put_nowait((message, mark))
        if self.queue.qsize() >= self._limit:
            self.room.clear()

    def finish(self, error: Exception | None) -> None:
        """End, after what waits; who waits for room need not any more."""
        self.ended, self.end = True, error
        self.queue.put_nowait(None)
        self.room.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._last is not None:
            self._settle(self._last)
            self._last = None
        item = await self.queue.get()
        if item is not None:
            message, self._last = item
            if self.queue.qsize() < self._limit:
                self.room.set()
            return message
        self.queue.put_nowait(None)  # for whoever else waits, or asks again
        if self.end is not None:
            raise self.end
        raise StopAsyncIteration


class Inbox:
    """Everything that happens to a message after it was decoded.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.
    client_id : str or None
        This client's durable name.
    max_queue : int
        Messages that may wait for an open iterator, at least 1.
    max_dead_letters : int
        Messages kept because they could not be read or sent.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        client_id: str | None = None,
        max_queue: int = 1024,
        max_dead_letters: int = 100,
    ) -> None:
        if max_queue < 1:
            raise ValueError(f"expected max_queue >= 1, got {max_queue}")
        self.emitter = Emitter()
        self.position = Position(client_id)
        self.dead_letters: deque[tuple[Message | None, Exception]] = deque(maxlen=max_dead_letters)
        self.messages_in = 0
        self.repeats = 0
        self._clock = clock
        self._max_queue = max_queue
        self._stream: weakref.ref[Stream] | None = None
        self._over: tuple[Exception | None] | None = None
        self._pending: dict[str, _Pending] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._joins: dict[str, str] = {}
        self._ids = itertools.count(1)

    # Receiving

    def put(self, message: Message, cursor: str | None) -> asyncio.Event | None:
        """Handle one message; return what to wait for if an open iterator's queue is full.

        Parameters
        ----------
        message : Message
            What came.
        cursor : str or None
            The token that came with it.
        """
        mark = self.position.count(cursor)
        if mark is None or (message.room_id is not None and not self._follow(message)):
            return None
        self.messages_in += 1
        self._deliver(message)
        stream = self.stream
        if stream is None or stream.ended:
            self.position.settle(mark)
            return None
        stream.put(message, mark)
        # Not the stream itself: who waits would keep an abandoned iterator alive.
        return None if stream.room.is_set() else stream.room

    def put_unreadable(self, error: MessageError) -> None:
        """Count a frame that is no message, and report it."""
        if self.position.count(None) is not None:
            self.refuse(None, error, "codec")

    def _follow(self, message: Message) -> bool:
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
        kind, ident = message.type, message.id
        answered = False
        if ident is not None:
            if ident in self._joins and kind in ("ack", "error"):
                self._joined(self._joins.pop(ident), message)
            waiter = self._pending.pop(ident, None)
            if waiter is not None and not waiter.future.done():
                waiter.future.set_result(message)
                answered = True
        if kind == "error":
            detail = _object(message.payload)
            text, code = str(detail.get("message", "error")), str(detail.get("code", ""))
            # A request raises what refuses it: the log need not say so, too.
            self.report("server", text, code=code, ref=ident, log=not answered)
        elif kind not in LOCAL_EVENTS:
            self.tell(kind, message)
        self.tell("*", message)

    def tell(self, name: str, value: Any) -> None:
        """Call the handlers of one event or type."""
        for error in self.emitter.emit(name, value):
            self.report("handler", f"a handler of {name!r} raised {error!r:.200}", error=error)

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
        """Emit an ``error`` event; log it when nobody listens, so that none is lost."""
        if "error" not in self.emitter:
            if log:
                _log.warning("%s: %s", source, text)
            return
        event = ErrorEvent(at=self._clock(), source=source, message=text, code=code, error=error, ref=ref)
        for raised in self.emitter.emit("error", event):
            _log.warning("an error handler raised %r", raised)

    def refuse(self, message: Message | None, error: Exception, source: str) -> None:
        """Keep a message that could not be read or sent, and report it."""
        self.dead_letters.append((message, error))
        self.report(source, str(error), code=getattr(error, "code", ""), error=error)

    # Sessions and rooms

    def begin(self, welcome: Message) -> bool:
        """Start or continue the session that a ``welcome`` names.

        Parameters
        ----------
        welcome : Message
            The server's first message.

        Returns
        -------
        bool
            Whether the former session goes on.
        """
        detail, position = _object(welcome.payload), self.position
        resumed, had_session = detail.get("resumed") is True, position.session is not None
        if resumed:
            position.go_on()
        else:
            seq = detail.get("seq")
            base = seq if isinstance(seq, int) else 0
            position.begin(str(detail.get("clientId", "")), str(detail.get("session", "")), base)
            if had_session:
                self._resync(None, None, None, "the session has expired: direct messages may be missing")
        return resumed

    @staticmethod
    def limit_of(welcome: Message) -> int:
        """Return the largest message that the server takes, in bytes."""
        limit = _object(_object(welcome.payload).get("limits")).get("maxMessageBytes")
        return limit if isinstance(limit, int) and limit > 0 else MAX_MESSAGE_BYTES

    def rejoins(self) -> list[Message]:
        """Return the messages that ask for the followed rooms again, each from its offset."""
        return [self.join(room_id, self.next_id()) for room_id in self.position.rooms]

    def join(self, room_id: str, ident: str) -> Message:
        """Make a ``join_room`` message, continuing where this client stands in that room."""
        room = self.position.rooms.get(room_id)
        payload: dict[str, Any] = {"roomId": room_id}
        if room is not None:
            payload |= {"epoch": room.epoch, "offset": room.received}
        self._joins[ident] = room_id
        return Message("join_room", payload, id=ident)

    def _joined(self, room_id: str, answer: Message) -> None:
        detail = _object(answer.payload)
        followed = room_id in self.position.rooms
        if answer.type == "error":
            self.position.leave(room_id)
            if followed:
                text = f"the room does not take this client back: {detail.get('message', 'refused')}"
                self._resync(room_id, None, None, text)
            return
        epoch, offset = detail.get("epoch"), detail.get("offset")
        if not isinstance(offset, int) or not isinstance(epoch, str):
            return
        if followed and detail.get("recovered") is True:
            return
        self.position.enter(room_id, epoch, offset)
        if followed:
            self._resync(room_id, epoch, offset, "the room's history no longer reaches back that far")

    def _resync(self, room_id: str | None, epoch: str | None, offset: int | None, reason: str) -> None:
        event = Resync(at=self._clock(), room_id=room_id, epoch=epoch, offset=offset, reason=reason)
        self.tell("resync", event)

    # Requests

    def next_id(self) -> str:
        """Return an id that this client has not used."""
        return f"{self.position.client_id or 'c'}-{next(self._ids)}"

    def expect(self, request: Message, timeout: float) -> asyncio.Future[Message]:
        """Return a future of the answer to a request.

        Parameters
        ----------
        request : Message
            It must have an id.
        timeout : float
            Seconds until the future raises `TimeoutError`.
        """
        assert request.id is not None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Message] = loop.create_future()
        deadline = loop.time() + timeout
        self._pending[request.id] = _Pending(future, deadline, request.type, timeout)
        # One timer, at the earliest deadline: a timer per request would add a tenth
        # to a round trip on loopback.
        if self._timer is None or deadline < self._timer.when():
            self._expire_at(deadline)
        return future

    def _expire_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for waiting in self._pending.values():
            if waiting.deadline <= now and not waiting.future.done():
                text = f"no answer to {waiting.type!r} within {waiting.timeout:g} s"
                waiting.future.set_exception(TimeoutError(text))
        left = [waiting.deadline for waiting in self._pending.values() if waiting.deadline > now]
        if left:
            self._expire_at(min(left))

    def forget(self, ident: str) -> None:
        """Stop waiting for an answer."""
        self._pending.pop(ident, None)
        self._joins.pop(ident, None)

    def fail_requests(self, reason: str) -> None:
        """Answer every open request with `NotConnected`: its outcome is unknown."""
        pending, self._pending = self._pending, {}
        self._joins.clear()
        for waiting in pending.values():
            if not waiting.future.done():
                waiting.future.set_exception(NotConnected(reason))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Iterating

    @property
    def stream(self) -> Stream | None:
        """The open iterator, if there is one."""
        return self._stream() if self._stream is not None else None

    def iterate(self) -> Stream:
        """Open an iterator; an earlier one ends."""
        former = self.stream
        if former is not None:
            former.finish(None)
        stream = Stream(self.position.settle, self._max_queue)
        room = stream.room
        self._stream = weakref.ref(stream, lambda _: room.set())  # lets a reader go on that waits
        if self._over is not None:
            stream.finish(*self._over)
        return stream

    def start(self) -> None:
        """Let iterators wait for messages (again): a connection is on its way."""
        self._over = None

    def finish(self, error: Exception | None) -> None:
        """End the open iterator, after what it still holds, and those opened later."""
        self._over = (error,)
        stream = self.stream
        if stream is not None:
            stream.finish(error)
        self._stream = None


def unwrap(answer: Message) -> Message:
    """Return an answer, or raise what it says.

    Parameters
    ----------
    answer : Message
        A server's answer to a request.

    Returns
    -------
    Message
        The same, unless it is an ``error``.

    Raises
    ------
    RequestRefused
        With the server's words.
    """
    if answer.type != "error":
        return answer
    detail = _object(answer.payload)
    raise RequestRefused(str(detail.get("message", "the server refused")), str(detail.get("code", "")))


def _object(payload: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
