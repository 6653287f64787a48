"""Sends messages again, also after reconnects, until the server acknowledges them or they are given up.

Messages travel in ``batch`` frames, and the frame's ``ack`` has a result for each of them. At most
a window of messages is in flight (`GoBackN`); when an answer is missing, the oldest message is sent
again, and all after it. If an outbox is opened at the server, messages are numbered, and the server
handles each number once: *effectively once*. Otherwise it handles every copy: *at least once*.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal, cast

from rtlab.client.delivery.outbox_identity import OutboxIdentity
from rtlab.client.delivery.parcel import Parcel
from rtlab.client.pending_requests_and_answers import is_temporary, refusal_in
from rtlab.errors import MessageError, MessageTooLarge, NotConnected, RequestRefused, RtlabError, describe
from rtlab.policies.go_back_n_window import GoBackN
from rtlab.processes.owned_tasks import Spawn
from rtlab.protocol.message_format import CheckedItems, Message, fields_of

__all__ = ["PER_FRAME", "DeliveryMode", "Retransmission"]

_log: Final = logging.getLogger("rtlab")

DeliveryMode = Literal["at_most_once", "at_least_once", "effectively_once"]

#: The most messages in a frame. With `_FRAMES` frames unanswered, only full frames are sent.
PER_FRAME: Final = 64
_FRAMES: Final = 16
_FRAME_BYTES: Final = 128 * 1024
#: The most bytes that `seq`, `stream` and the frame add to one message.
_OVERHEAD_BYTES: Final = 256
#: Seconds until a message with a temporary refusal is sent again, if the server gave no hint over 0.
_PAUSE: Final = 0.1
#: The most unforeseen errors (a transport's bug, perhaps) of a message; with the next one it is given up,
#: whatever `max_retries`. The pauses double, 3 s in all, unless a new connection ends one early.
_MAX_FAULTS: Final = 5
#: The longest retransmission timeout, in seconds (RFC 6298 §2.5 asks for at least 60).
_MOST_PATIENCE: Final = 60.0

#: A message or the opening is missing, so all is sent again.
_GAPS: Final = frozenset({"gap", "not_opened"})
#: Refusals after which the outbox must stop for good.
_FATAL: Final = frozenset({"fenced", "wrong_user", "too_many_outboxes"})

SendRequests = Callable[[list[dict[str, Any]], float], Awaitable[Message]]


class Retransmission:
    """Sends parcels, across reconnects, until each has its result.

    Parameters
    ----------
    request : callable
        Sends a batch and returns its answer; the second argument is the timeout in seconds.
    spawn : callable
        Runs a coroutine as a task whose owner cancels and awaits it.
    limit : callable
        Returns the largest frame that the server accepts, in bytes.
    identity : OutboxIdentity or None
        The outbox to open; None sends messages without numbers.
    window : int
        The most messages in flight without an answer.
    answer_timeout : float
        The least retransmission timeout, in seconds, on an open connection. It doubles with each missing
        answer, up to 60 s (RFC 6298 §5.5), because retransmissions make a congested path slower.
    max_retries : int or None
        Refusals and missing answers after which a message is given up; None never gives up for these.
    progress : callable, optional
        Called after results have come, when there may be room for more parcels.
    """

    def __init__(
        self,
        request: SendRequests,
        spawn: Spawn,
        limit: Callable[[], int],
        *,
        identity: OutboxIdentity | None,
        window: int,
        answer_timeout: float,
        max_retries: int | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.identity = identity
        self.failed: RtlabError | None = None
        self._request = request
        self._spawn = spawn
        self._limit = limit
        self._answer_timeout = self._patience = answer_timeout
        self._max_retries = max_retries
        self._progress = progress
        self._flight = GoBackN(window, first=0)
        self._parcels: deque[Parcel] = deque()  # the first one has the number `_flight.base`
        self._per_frame = PER_FRAME
        self._generation = 0
        self._frames = 0
        self._up = self._announced = False
        self._scheduled: asyncio.Handle | None = None
        self._pause: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many parcels have no result yet."""
        return len(self._parcels)

    @property
    def in_flight(self) -> int:
        """How many parcels, counted from the oldest without a result, were sent since the last go-back."""
        return self._flight.next - self._flight.base

    # Called by the owner

    def put(self, *parcels: Parcel) -> None:
        """Accept parcels; those that are put in one turn of the event loop are sent together."""
        self._parcels.extend(parcels)
        self._schedule()

    def withdraw(self, before: float = math.inf) -> Parcel | None:
        """Remove and return the oldest parcel that was never sent, unsettled, if it came before `before`.

        A parcel that was sent stays, even if it waits for its retransmission: the server may have
        handled it, and only its result tells.
        """
        for place in range(self.in_flight, len(self._parcels)):
            parcel = self._parcels[place]
            if parcel.sent or parcel.done:
                continue
            if parcel.came >= before:
                return None
            del self._parcels[place]
            parcel.done = True
            return parcel
        return None

    def opened(self) -> None:
        """Send from the oldest parcel on: a connection has opened."""
        self._stop_timers()  # a pause was for the former connection; both may be of a closed event loop
        self._up, self._announced = True, False
        self._again()

    def lost(self) -> None:
        """Stop sending: the connection has ended."""
        self._up = False
        self._generation += 1
        self._frames = 0

    def end(self, error: RtlabError) -> None:
        """Settle every parcel with `error`, and send nothing more."""
        self.failed = error
        self.lost()
        self._stop_timers()
        parcels, self._parcels = self._parcels, deque()
        for parcel in parcels:
            if not parcel.done:
                parcel.done = True
                parcel.settle({}, error)

    # Sending

    def _schedule(self) -> None:
        if self._up and self._scheduled is None and self._pause is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._pump)

    def _stop_timers(self) -> None:
        for handle in (self._scheduled, self._pause):
            if handle is not None:
                handle.cancel()
        self._scheduled = self._pause = None

    def _again(self, pause: float = 0.0) -> None:
        """Retransmit from the oldest parcel on, now or after `pause` seconds."""
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
            try:
                frame = self._next_frame()
            except BaseException:  # an interrupt in a handler that was told of a message too large
                self._again(_PAUSE)
                raise
            if not frame:
                return
            self._frames += 1
            task = self._spawn(self._send(frame, self._generation))
            task.add_done_callback(partial(self._frame_ended, frame, self._generation))

    def _next_frame(self) -> list[Parcel]:
        """Return the parcels of the next frame; one that is too large for any frame gets its error."""
        flight, parcels, limit = self._flight, self._parcels, self._limit()
        most = min(_FRAME_BYTES, limit)
        frame: list[Parcel] = []
        size = _OVERHEAD_BYTES * 2  # room for an opening
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
                parcel.sent = True
                size += cost
            flight.sent()
        return frame

    def _frame_ended(self, frame: list[Parcel], generation: int, task: asyncio.Task[None]) -> None:
        """Retransmit a frame whose task other code cancelled, or raised an unforeseen error.

        Then in smaller frames, until one message is found to be the cause, and gets the error for its result.
        """
        error = None if task.cancelled() else task.exception()
        if generation != self._generation or not (task.cancelled() or error is not None):
            return
        self._announced = False
        pause = _PAUSE
        if isinstance(error, Exception):
            first = frame[0]
            first.faults += 1
            self._per_frame = max(1, self._per_frame // 8)
            _log.warning("sending a frame of %d messages raised %s", len(frame), describe(error))
            if len(frame) > 1 or first.faults <= _MAX_FAULTS:
                pause *= 2 ** min(first.faults - 1, _MAX_FAULTS - 1)
            else:
                try:
                    self._settle(first, {}, error)
                finally:  # a handler may be interrupted, and the other messages must go on
                    self._again(pause)
                return
        self._again(pause)

    async def _send(self, frame: list[Parcel], generation: int) -> None:
        identity = self.identity
        items: list[dict[str, Any]] = CheckedItems()  # `CheckedItems`: each message was checked before `put`
        if identity is not None and not self._announced:
            self._announced = True
            items.append(self._opening(identity, frame[0].seq))
        head = len(items)
        stream = None if identity is None else identity.stream
        began = time.monotonic()
        try:
            items += [parcel.item(stream) for parcel in frame]
            answer = await self._request(items, self._patience)
            self._be_patient(2 * (time.monotonic() - began))
            results = fields_of(answer.payload).get("results")
            listed = cast("list[Any]", results) if isinstance(results, list) else []
            if len(listed) != len(items):
                raise MessageError(f"expected {len(items)} results of a batch, got {len(listed)}")
        except NotConnected:
            # After a loss, `opened` sends everything again; told after this error, it ends the pause. But a
            # move to another transport, which is no loss, drops writes that take too long.
            if generation == self._generation and self._up:
                self._announced = False
                self._again(_PAUSE)
            return
        except (RequestRefused, MessageError, TimeoutError) as error:
            if generation == self._generation:
                self._frame_failed(frame, error)
            return
        if generation == self._generation:
            self._frames -= 1
        self._take(frame, listed, head, generation)
        self._progress()
        self._schedule()

    def _opening(self, identity: OutboxIdentity, base: int) -> dict[str, Any]:
        payload = {
            "stream": identity.stream,
            "history": identity.history,
            "token": identity.token,
            "incarnation": identity.incarnation,
            "after": identity.after,
            "base": base,
        }
        return {"type": "outbox", "payload": payload}

    # Results

    def _take(self, frame: list[Parcel], results: list[Any], head: int, generation: int) -> None:
        """Settle each parcel that has a final result; retransmit if a result demands it."""
        for result in results[:head]:
            detail = fields_of(result)
            if self.identity is not None and isinstance(detail.get("incarnation"), int):
                self.identity.incarnation = detail["incarnation"]
            refusal = _refusal(detail)
            if refusal is not None and refusal.code not in _GAPS:
                self.end(refusal)
                return
        for parcel, result in zip(frame, results[head:], strict=True):
            detail = fields_of(result)
            refusal = _refusal(detail)
            if refusal is None:
                if generation == self._generation:  # a late answer tells nothing of today's frames
                    self._per_frame = min(PER_FRAME, self._per_frame * 2)
                self._settle(parcel, detail, None)
            elif refusal.code in _FATAL:
                self.end(refusal)
                return
            elif refusal.code in _GAPS:
                if generation == self._generation:
                    # Open again: `base` tells a server that waits for older numbers that none will come.
                    self._announced = False
                    self._again()
                return
            elif is_temporary(refusal) and not self._counted_out(parcel):
                if generation == self._generation:
                    self._again(_pause_after(refusal))
                return
            else:
                self._settle(parcel, {}, refusal)

    def _frame_failed(self, frame: list[Parcel], error: Exception) -> None:
        """Retransmit a frame that got no results, in smaller frames: one bad message may be the cause."""
        if isinstance(error, MessageError) and error.retry_after is not None:  # the transport cannot send yet
            self._announced = False
            self._again(_pause_after(error))
            return
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
        self._announced = False
        self._again(_pause_after(error))

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


def _pause_after(error: Exception) -> float:
    """Return the seconds until the next attempt; a hint of 0 is none, because obeying it is a hot loop."""
    hint = getattr(error, "retry_after", None)
    return max(hint, 0.001) if hint is not None and hint > 0 else _PAUSE


def _refusal(result: dict[str, Any]) -> RequestRefused | None:
    """Return the error in one message's result; None if the message was handled."""
    if result.get("ok") is True:
        return None
    return refusal_in(fields_of(result.get("error")), str(result))
