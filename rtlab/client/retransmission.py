"""Acknowledged sending: each message goes again until the server has answered for it.

Messages travel in ``batch`` frames, and each has a result in the frame's ``ack``. A bounded
window of them may have no answer (`GoBackN`); when an answer is missing, the oldest goes again
and all after it. With an outbox opened at the server, messages are numbered, and the server
handles each number once: *effectively once*. Without, it handles each that comes: *at least once*.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Literal, cast

import msgspec

from rtlab.errors import MessageError, MessageTooLarge, NotConnected, RequestRefused, RtlabError
from rtlab.policies.go_back_n import GoBackN
from rtlab.protocol.codecs import JSON
from rtlab.protocol.messages import CheckedItems, Message, fields_of

__all__ = ["PER_FRAME", "DeliveryMode", "Life", "Parcel", "Retransmission"]

DeliveryMode = Literal["at_most_once", "at_least_once", "effectively_once"]

#: Messages of one frame, and frames without an answer: above, messages wait and share a frame.
PER_FRAME: Final = 64
_FRAMES: Final = 16
_FRAME_BYTES: Final = 128 * 1024
#: What `seq`, `stream` and the frame around it add to a message, at most.
_OVERHEAD_BYTES: Final = 256
#: Seconds before a refusal that is not final is tried again, without a hint of the server's.
_PAUSE: Final = 0.1
#: Seconds that the wait for an answer may grow to (RFC 6298 §2.5 asks for 60 at least).
_MOST_PATIENCE: Final = 60.0

#: Refusals after which the server expects the same message again.
_GAPS: Final = frozenset({"gap", "not_opened"})
_TRY_AGAIN: Final = frozenset({"not_published", "rate_limited", "busy"})
#: Refusals that end an outbox.
_FATAL: Final = frozenset({"fenced", "wrong_user", "too_many_outboxes"})

Settle = Callable[[dict[str, Any], Exception | None], None]
Request = Callable[[list[dict[str, Any]], float], Awaitable[Message]]
Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Life(msgspec.Struct):
    """How an outbox presents itself to the server; see ``outbox`` in the protocol.

    Parameters
    ----------
    stream, history : str
        Its name, and which numbering it is.
    token : str
        Of this process.
    after : int
        The last incarnation that is known of.
    incarnation : int or None
        The one that the server gave.
    """

    stream: str
    history: str
    token: str
    after: int = 0
    incarnation: int | None = None


class Parcel:
    """One message that waits for its result.

    Parameters
    ----------
    message : Message or bytes
        With an id, which every try carries; as JSON, it is read when it is sent.
    size_bytes : int
        Its size as JSON.
    settle : callable
        Called once, with the result or the error in its place.
    seq : int
        Its number in the outbox; 0 without one.
    came : float
        When it was given, on the owner's clock.

    Attributes
    ----------
    retries : int
        Refusals and missing answers so far; a lost connection is nobody's fault.
    """

    __slots__ = ("came", "done", "message", "retries", "seq", "settle", "size_bytes")

    def __init__(
        self, message: Message | bytes, size_bytes: int, settle: Settle, seq: int = 0, came: float = 0.0
    ) -> None:
        self.message = message
        self.size_bytes = size_bytes
        self.settle = settle
        self.seq = seq
        self.came = came
        self.retries = 0
        self.done = False

    def item(self, stream: str | None) -> dict[str, Any]:
        """Return the message as an item of a batch."""
        message = self.message if isinstance(self.message, Message) else JSON.decode(self.message)
        # By hand: the payload is a copy of its own already, and `to_builtins` would copy it again.
        fields: dict[str, Any] = {"type": message.type, "payload": message.payload, "id": message.id}
        if message.room_id is not None:
            fields["roomId"] = message.room_id
        if message.ts is not None:
            fields["ts"] = message.ts
        if stream is not None:
            fields["seq"], fields["stream"] = self.seq, stream
        return fields


class Retransmission:
    """Sends parcels over one connection until each has its result.

    Parameters
    ----------
    request : callable
        Sends a batch, and returns its answer within so many seconds.
    spawn : callable
        Runs a coroutine as a task whose owner cancels and awaits it.
    limit : callable
        The largest frame that the server takes, in bytes.
    life : Life or None
        The outbox to open; None leaves messages without numbers.
    window : int
        Messages that may have no answer.
    answer_timeout : float
        Seconds until a frame goes again on an open connection; doubled with each answer that is missing, up
        to 60 (RFC 6298 §5.5): repeats would make a slow path slower still.
    max_retries : int or None
        Refusals and missing answers until a message is given up; None never does.
    progress : callable, optional
        Called after results: there may be room for more parcels.
    """

    def __init__(
        self,
        request: Request,
        spawn: Spawn,
        limit: Callable[[], int],
        *,
        life: Life | None,
        window: int,
        answer_timeout: float,
        max_retries: int | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.life = life
        self.failed: RtlabError | None = None
        self._request = request
        self._spawn = spawn
        self._limit = limit
        self._answer_timeout = self._patience = answer_timeout
        self._max_retries = max_retries
        self._progress = progress
        self._flight = GoBackN(window, first=0)
        self._parcels: deque[Parcel] = deque()  # the first one is at `_flight.base`
        self._per_frame = PER_FRAME
        self._generation = 0
        self._frames = 0
        self._up = self._announced = False
        self._scheduled: asyncio.Handle | None = None
        self._pause: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many parcels have no result."""
        return len(self._parcels)

    @property
    def in_flight(self) -> int:
        """How many were sent and have no answer yet."""
        return self._flight.next - self._flight.base

    # What happens

    def put(self, *parcels: Parcel) -> None:
        """Take parcels; they leave in this turn of the loop, with the others of this turn."""
        self._parcels.extend(parcels)
        self._schedule()

    def withdraw(self, before: float = math.inf) -> Parcel | None:
        """Take back the oldest parcel that was never sent, if it came before a time; it is not settled."""
        if self.in_flight >= len(self._parcels):
            return None
        parcel = self._parcels[self.in_flight]
        if parcel.came >= before:
            return None
        del self._parcels[self.in_flight]
        parcel.done = True
        return parcel

    def opened(self) -> None:
        """Begin again with the oldest parcel: a connection is open."""
        self._up, self._announced = True, False
        self._again()

    def lost(self) -> None:
        """Send nothing: the connection has ended."""
        self._up = False
        self._generation += 1
        self._frames = 0

    def end(self, error: RtlabError) -> None:
        """Give every parcel this error, and take no more."""
        self.failed = error
        self.lost()
        for handle in (self._scheduled, self._pause):
            if handle is not None:
                handle.cancel()
        parcels, self._parcels = self._parcels, deque()
        for parcel in parcels:
            if not parcel.done:
                parcel.done = True
                parcel.settle({}, error)

    # Sending

    def _schedule(self) -> None:
        if self._up and self._scheduled is None and self._pause is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._pump)

    def _again(self, pause: float = 0.0) -> None:
        """Send again from the oldest parcel on, now or after a pause."""
        self._generation += 1
        self._frames = 0
        self._flight.back()
        if pause and self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(pause, self._paused)
        self._schedule()

    def _paused(self) -> None:
        self._pause = None
        self._schedule()

    def _pump(self) -> None:
        self._scheduled = None
        while self._up and self._pause is None and self.failed is None:
            waiting = len(self._parcels) - self.in_flight
            if self._frames >= _FRAMES and waiting < self._per_frame:
                return
            frame = self._next_frame()
            if not frame:
                return
            self._frames += 1
            self._spawn(self._send(frame, self._generation))

    def _next_frame(self) -> list[Parcel]:
        """Take what goes in one frame; a parcel that no frame can hold is given up."""
        flight, parcels, limit = self._flight, self._parcels, self._limit()
        most = min(_FRAME_BYTES, limit)
        frame: list[Parcel] = []
        size = _OVERHEAD_BYTES * 2  # an opening
        while flight.room and len(frame) < self._per_frame:
            place = flight.next - flight.base
            if place >= len(parcels):
                break
            parcel = parcels[place]
            cost = parcel.size_bytes + _OVERHEAD_BYTES
            if not parcel.done and _OVERHEAD_BYTES * 2 + cost > limit:
                error = MessageTooLarge(parcel.size_bytes, max(1, limit - 3 * _OVERHEAD_BYTES))
                self._settle(parcel, {}, error)
                continue
            if not parcel.done:
                if frame and size + cost > most:
                    break
                frame.append(parcel)
                size += cost
            flight.sent()
        return frame

    async def _send(self, frame: list[Parcel], generation: int) -> None:
        life = self.life
        items: list[dict[str, Any]] = CheckedItems()  # each message was, when it was given
        if life is not None and not self._announced:
            self._announced = True
            items.append(self._opening(life, frame[0].seq))
        head = len(items)
        stream = None if life is None else life.stream
        items += [parcel.item(stream) for parcel in frame]
        began = time.monotonic()
        try:
            answer = await self._request(items, self._patience)
            self._be_patient(2 * (time.monotonic() - began))
            results = fields_of(answer.payload).get("results")
            listed = cast("list[Any]", results) if isinstance(results, list) else []
            if len(listed) != len(items):
                raise MessageError(f"expected {len(items)} results of a batch, got {len(listed)}")
        except NotConnected:
            return  # whoever sees the next connection begins again
        except (RequestRefused, MessageError, TimeoutError) as error:
            if generation == self._generation:
                self._frame_failed(frame, error)
            return
        if generation == self._generation:
            self._frames -= 1
        self._take(frame, listed, head, generation)
        self._progress()
        self._schedule()

    def _opening(self, life: Life, base: int) -> dict[str, Any]:
        payload = {
            "stream": life.stream,
            "history": life.history,
            "token": life.token,
            "incarnation": life.incarnation,
            "after": life.after,
            "base": base,
        }
        return {"type": "outbox", "payload": payload}

    # Results

    def _take(self, frame: list[Parcel], results: list[Any], head: int, generation: int) -> None:
        """Note each parcel's result; begin again where one says so."""
        for result in results[:head]:
            detail = fields_of(result)
            if self.life is not None and isinstance(detail.get("incarnation"), int):
                self.life.incarnation = detail["incarnation"]
            refusal = _refusal(detail)
            if refusal is not None and refusal.code not in _GAPS:
                self.end(refusal)
                return
        for parcel, result in zip(frame, results[head:], strict=True):
            detail = fields_of(result)
            refusal = _refusal(detail)
            if refusal is None:
                self._per_frame = min(PER_FRAME, self._per_frame * 2)
                self._settle(parcel, detail, None)
            elif refusal.code in _FATAL:
                self.end(refusal)
                return
            elif refusal.code in _GAPS:
                if generation == self._generation:
                    # The opening says what is not to come any more, should the server wait for it.
                    self._announced = False
                    self._again()
                return
            elif refusal.code in _TRY_AGAIN and not self._counted_out(parcel):
                if generation == self._generation:
                    hint = refusal.retry_after
                    self._again(_PAUSE if hint is None else max(hint, 0.001))
                return
            else:
                self._settle(parcel, {}, refusal)

    def _frame_failed(self, frame: list[Parcel], error: Exception) -> None:
        """Send a frame again that has no results, in smaller frames: one message may be why."""
        alone = len(frame) == 1
        self._per_frame = max(1, self._per_frame // 8)
        if isinstance(error, TimeoutError):
            self._be_patient(2 * self._patience)
        if isinstance(error, RequestRefused) and error.code in _FATAL:
            self.end(error)
            return
        final = not isinstance(error, TimeoutError) and getattr(error, "retry_after", None) is None
        if alone and (self._counted_out(frame[0]) or final):
            self._settle(frame[0], {}, error)
        hint = getattr(error, "retry_after", None)
        self._announced = False
        self._again(_PAUSE if hint is None else max(hint, 0.001))

    def _be_patient(self, seconds: float) -> None:
        self._patience = max(self._answer_timeout, min(_MOST_PATIENCE, seconds))

    def _counted_out(self, parcel: Parcel) -> bool:
        """Count one more failure of a parcel; return whether it was the last one."""
        parcel.retries += 1
        return self._max_retries is not None and parcel.retries > self._max_retries

    def _settle(self, parcel: Parcel, result: dict[str, Any], error: Exception | None) -> None:
        if parcel.done:
            return
        parcel.done = True
        while self._parcels and self._parcels[0].done:
            self._parcels.popleft()
            self._flight.settle(self._flight.base)
        parcel.settle(result, error)


def _refusal(result: dict[str, Any]) -> RequestRefused | None:
    """Return the error of one message's result, None when it was handled."""
    if result.get("ok") is True:
        return None
    error = fields_of(result.get("error"))
    hint = error.get("retryAfter")
    return RequestRefused(
        str(error.get("message") or result),
        str(error.get("code") or ""),
        retry_after=float(hint) if isinstance(hint, int | float) else None,
    )
