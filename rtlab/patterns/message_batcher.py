"""Collects a client's messages, and sends many in one frame; each has its own result.

`MessageBatcher` avoids three usual faults of such classes: a batch that is sent while the
connection is down is not lost silently, a batch never exceeds the server's limits, and
messages that are still collected when the batcher is closed are sent.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, cast

import msgspec

from rtlab.client.connection import Connection
from rtlab.client.delivery.receipt import Receipt
from rtlab.client.event_emitter import Connected
from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.client.pending_requests_and_answers import unwrap
from rtlab.errors import InvalidState, MessageError, MessageTooLarge, NotConnected, RequestRefused
from rtlab.patterns.batcher_stats import BatcherStats
from rtlab.policies.size_or_time_batching_windows import BatchWindow, SizeOrTimeout
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.limits import MAX_BATCH
from rtlab.protocol.message_format import CheckedItems, Message, fields_of

__all__ = ["MessageBatcher"]

#: Number of failures that are kept for inspection.
_MAX_FAILURES: Final = 100

#: Reserved for the frame around a batch's messages, including its id: about 60 bytes are needed.
_ENVELOPE_BYTES: Final = 100

#: Types of payload that the caller may modify after `send`.
_CONTAINERS: Final = frozenset({list, tuple, dict})

#: After so many sent messages, `send` yields to the event loop, even if its caller never waits: so frames
#: are written and answers are read while the next batch is collected.
_TURN: Final = 100

#: Largest ratio of a batch's size in MessagePack to that in JSON: ``1.5,`` takes nine bytes instead of four.
_GROWTH: Final = 3


class MessageBatcher:
    """Collects messages, and sends them as one ``batch``, which the server answers with one ``ack``.

    A batcher keeps the order of its messages; other messages on the connection may overtake
    them. Delivery is *at most once*, as with `Connection.send`, but no loss is silent: each message
    has a `Receipt`, and messages that were refused or got no answer are kept in `failures`.

    Close it at the end, as ``async with`` does: until then, its connection keeps a reference to it.

    Parameters
    ----------
    conn : Connection
        A connection over any transport. It stays open when the batcher is closed.

    # Window
    batch_size : int
        Number of messages at which a batch is sent at once, 1 to 1,000.
    flush_interval : float
        Seconds after its first message at which a batch is sent; 0 batches the messages of
        one iteration of the event loop.
    max_bytes : int
        Limit of a batch's messages in bytes of JSON; a single larger message is refused. A
        batch never exceeds the server's limit either.
    window : BatchWindow, optional
        Another rule for when to send, in place of the three above.

    # Limits
    max_in_flight : int
        Messages without an answer, including collected ones; at this number, `send` waits.
    max_in_flight_bytes : int
        Bytes sent without an answer; at this number, `send` waits: it bounds what a slow peer costs.
    answer_timeout : float
        Seconds after which the outcome of a batch without an answer counts as *unknown*.

    # Injected
    clock : callable
        Returns monotonic time in seconds.

    Raises
    ------
    ValueError
        A parameter is out of range.

    Examples
    --------
    >>> async def talk(conn: Connection) -> None:
    ...     async with MessageBatcher(conn, batch_size=10, flush_interval=0.1) as batcher:
    ...         for n in range(100):
    ...             await batcher.send("chat", {"n": n}, room_id="lobby")
    ...     print(batcher.stats.handled)
    """

    def __init__(
        self,
        conn: Connection,
        *,
        # Window
        batch_size: int = 10,
        flush_interval: float = 0.1,
        max_bytes: int = 64 * 1024,
        window: BatchWindow | None = None,
        # Limits
        max_in_flight: int = 10_000,
        max_in_flight_bytes: int = 8 * 1024 * 1024,
        answer_timeout: float = 5.0,
        # Injected
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.window = window or SizeOrTimeout(
            batch_size=batch_size, max_bytes=max_bytes, flush_interval=flush_interval
        )
        if self.window.batch_size > MAX_BATCH:
            raise ValueError(
                f"expected batch_size <= {MAX_BATCH:,} (the server takes no more), "
                f"got {self.window.batch_size:,}"
            )
        if max_in_flight < self.window.batch_size:
            raise ValueError(f"expected max_in_flight >= batch_size, got {max_in_flight!r}")
        if max_in_flight_bytes < 1:
            raise ValueError(f"expected max_in_flight_bytes >= 1, got {max_in_flight_bytes!r}")
        if not 0 < answer_timeout < math.inf:
            raise ValueError(f"expected answer_timeout > 0, in finite seconds, got {answer_timeout!r}")
        #: The latest messages that were refused or got no answer, each with its error.
        self.failures: deque[tuple[Message, Exception]] = deque(maxlen=_MAX_FAILURES)
        self._conn = conn
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._max_bytes = max_in_flight_bytes
        self._answer_timeout = answer_timeout
        self._batch = self.window.start()
        self._collected: list[Receipt] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = 0.0
        self._check = conn.check
        # Per batch without an answer: the task that writes it and may have to wait, or the answer itself;
        # and what to call when it is done.
        self._asking: dict[asyncio.Future[Any], Callable[[asyncio.Future[Any]], None]] = {}
        self._not_begun: set[asyncio.Future[Any]] = set()  # tasks; each writes in its first step
        self._room = PerLoop(asyncio.Event)
        self._line = PerLoop(asyncio.Lock)
        self._in_line = 0
        self._frame_bytes = 0
        self._in_flight = self._bytes = self._since_turn = 0
        self._closed = False
        self._batches = self._messages = self._handled = self._refused = self._unknown = 0
        conn.on("connected", self._connected)

    def __repr__(self) -> str:
        return f"<MessageBatcher {'closed' if self._closed else 'open'}, {self.window}>"

    @property
    def stats(self) -> BatcherStats:
        """A frozen snapshot."""
        return BatcherStats(
            collected=len(self._collected),
            in_flight=self._in_flight - len(self._collected),
            batches=self._batches,
            messages=self._messages,
            handled=self._handled,
            refused=self._refused,
            unknown=self._unknown,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, type: str, payload: Any = None, *, room_id: str | None = None) -> Receipt:
        """Add one message to the batch that is being collected.

        Waits only while `max_in_flight` messages, or `max_in_flight_bytes`, have no answer.

        Parameters
        ----------
        type : str
            The message's type; not ``"batch"``.
        payload : any
            A value of the JSON data model. It is encoded now: later modifications have no effect.
        room_id : str, optional
            The room to publish the message in; None for none.

        Returns
        -------
        Receipt
            Its result comes with the batch's answer.

        Raises
        ------
        MessageError
            The payload is not in the JSON data model, violates the connection's schemas, or
            the message alone exceeds the byte limit. Other messages are not affected.
        InvalidState
            The batcher is closed.
        """
        if type == "batch":
            raise MessageError("a batch cannot hold a batch: send its messages one by one", "payload")
        message = Message(type, payload, room_id=room_id)
        encoded = JSON.encode(message)
        size_bytes = len(encoded)
        self._check(message)
        if not self._collected:
            self._frame_bytes = self._conn.max_message_bytes - _ENVELOPE_BYTES
        window = self.window
        if size_bytes > window.max_bytes or size_bytes > self._frame_bytes:
            raise MessageTooLarge(size_bytes, min(window.max_bytes, self._frame_bytes))
        if self._in_line or self._in_flight >= self._max_in_flight or self._bytes >= self._max_bytes:
            await self._wait_in_line()
        if self._closed:
            raise InvalidState("an open batcher", "a closed one", "make another MessageBatcher")
        now = self._clock()
        batch, collected = self._batch, self._collected
        if collected and (
            batch.size_bytes + len(collected) + size_bytes > self._frame_bytes
            or batch.size_bytes + size_bytes > window.max_bytes  # a batch of batch_size was sent already
        ):
            self._leave(now)
            collected = self._collected
        if payload.__class__ in _CONTAINERS:
            # The caller may modify the payload before the batch is sent: keep a copy.
            message.payload = msgspec.json.decode(encoded)["payload"]
        receipt = Receipt(message)
        collected.append(receipt)
        self._in_flight += 1
        batch = self._batch = window.add(self._batch, size_bytes, now)
        if batch.messages >= window.batch_size or batch.size_bytes >= window.max_bytes:
            self._leave(now)
        elif batch.messages == 1 and (self._timer is None or batch.due < self._timer_for):
            self._start_timer(now)
        if self._since_turn >= _TURN:
            self._since_turn = 0
            await asyncio.sleep(0)
        return receipt

    async def flush(self) -> None:
        """Send the collected messages, and wait until all batches so far are answered or timed out."""
        self._drop_closed_loops()
        self._leave(self._clock())
        if self._asking:  # not batches sent meanwhile: that might never end
            await asyncio.wait(tuple(self._asking))

    async def close(self) -> None:
        """Flush, and refuse later messages. A second call waits for the same answers."""
        self._closed = True
        self._conn.off("connected", self._connected)
        self._room.here.set()
        self._stop_timer()
        try:
            await self.flush()
        except asyncio.CancelledError:
            for asked in self._asking:
                asked.cancel()
            raise

    async def _wait_in_line(self) -> None:
        """Wait until the limits allow a message, or the batcher is closed; senders keep their order."""
        self._in_line += 1
        try:
            async with self._line.here:
                while not self._closed and (
                    self._in_flight >= self._max_in_flight or self._bytes >= self._max_bytes
                ):
                    self._room.here.clear()
                    await self._room.here.wait()
        finally:
            self._in_line -= 1

    def _start_timer(self, now: float) -> None:
        """Schedule `_tick` for when the batch is due. If the batch is sent earlier, the timer stays set."""
        self._stop_timer()
        self._timer_for = self._batch.due
        wait = max(0.0, self._batch.due - now)
        self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _connected(self, event: Connected) -> None:
        """Go on after a reconnect, which may be on another event loop: the former one's timer is lost."""
        self._stop_timer()
        if self._collected:
            self._start_timer(self._clock())
        self._drop_closed_loops()

    def _drop_closed_loops(self) -> None:
        """Settle batches that can get no answer any more, because their event loop was closed."""
        for asked, answered in tuple(self._asking.items()):
            if asked.get_loop().is_closed():
                answered(asked)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        if self._timer_for >= self._batch.due:
            self._leave(now)
        elif self._collected:
            self._start_timer(now)

    def _leave(self, now: float) -> None:
        """Send the collected batch; split it if the connection does not accept it as one message."""
        if not self._collected:
            return
        receipts, self._collected = self._collected, []
        size = self._batch.size_bytes
        self._batch = self.window.leave(self._batch, now)
        whole = size * _GROWTH < self._conn.max_message_bytes
        for piece in [receipts] if whole else self._pieces(receipts):
            self._write(piece, size * len(piece) // len(receipts))

    def _pieces(self, receipts: list[Receipt]) -> list[list[Receipt]]:
        """Split a batch until each piece fits: after a reconnect, the limit or the codec may be another."""
        half = len(receipts) // 2
        if not half or self._conn.fits(receipt.message for receipt in receipts):
            return [receipts]
        return [*self._pieces(receipts[:half]), *self._pieces(receipts[half:])]

    def _write(self, receipts: list[Receipt], size_bytes: int) -> None:
        """Write a batch at once, or in a task if the write may have to wait.

        While a task has not begun, later batches use tasks too: these begin, and write, in order.
        """
        self._batches += 1
        self._messages += len(receipts)
        self._bytes += size_bytes
        items = CheckedItems([receipt.message for receipt in receipts])
        asked = None if self._not_begun else self._conn.batch_at_once(items, self._answer_timeout)
        if asked is None:
            asking = self._conn.request("batch", items, timeout=self._answer_timeout)
            asked = asyncio.create_task(asking, name="message batch")
            self._not_begun.add(asked)
            # Runs after the task's first step.
            asyncio.get_running_loop().call_soon(self._not_begun.discard, asked)
            self._since_turn = _TURN  # the next `send` yields, so that the task can begin
        else:
            self._since_turn += len(receipts)
        self._asking[asked] = answered = partial(self._answered, receipts, size_bytes)
        asked.add_done_callback(answered)

    def _answered(self, receipts: list[Receipt], size_bytes: int, asked: asyncio.Future[Message]) -> None:
        del self._asking[asked]
        self._not_begun.discard(asked)
        self._bytes -= size_bytes
        results: list[Any] = []
        error: Exception | None = None
        try:
            results = cast("list[Any]", fields_of(unwrap(asked.result()).payload).get("results") or [])
            if len(results) != len(receipts):
                error = MessageError(f"expected {len(receipts)} results of a batch, got {len(results)}")
        except asyncio.InvalidStateError:
            error = NotConnected("the event loop was closed before the answer came")
        except Exception as failed:  # of any kind: no caller may wait for ever
            error = failed
        except asyncio.CancelledError:
            error = NotConnected("the batcher was cancelled before the answer came")
        if error is None:
            for receipt, result in Receipt.settle_handled(receipts, results):
                refusal = _refusal(result)
                receipt.settle(result, refusal)
                self._failed(receipt, refusal)
        else:
            for receipt in receipts:
                receipt.settle({}, error)
                self._failed(receipt, error)
        self._in_flight -= len(receipts)
        self._handled += len(receipts)
        self._room.here.set()

    def _failed(self, receipt: Receipt, error: Exception) -> None:
        self._handled -= 1
        self.failures.append((receipt.message, error))
        if isinstance(error, RequestRefused | MessageError):
            self._refused += 1
        else:
            self._unknown += 1


def _refusal(result: Any) -> RequestRefused:
    """Return the error of one message's result."""
    fields = fields_of(result)
    error = fields_of(fields.get("error"))
    return RequestRefused(str(error.get("message") or result), str(error.get("code") or ""))
