"""Many messages in one frame, each with a result of its own.

`MessageBatcher` is the seed's class without its faults: a batch that leaves while the
connection is down is not lost in silence, a batch never exceeds what the server takes, and
what is still collected when the batcher is closed is sent.
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
from rtlab.client.receipt import Receipt
from rtlab.client.requests import unwrap
from rtlab.errors import InvalidState, MessageError, MessageTooLarge, NotConnected, RequestRefused
from rtlab.policies.batching import BatchWindow, SizeOrTimeout
from rtlab.protocol.codecs import JSON
from rtlab.protocol.limits import MAX_BATCH
from rtlab.protocol.messages import CheckedItems, Message, fields_of

__all__ = ["BatcherStats", "MessageBatcher"]

#: Failures that are kept for inspection.
_MAX_FAILURES: Final = 100

#: What a batch has besides its messages, its id included: about 60 bytes.
_ENVELOPE_BYTES: Final = 100

#: What the caller may change later, of all that a payload can be.
_CONTAINERS: Final = frozenset({list, tuple, dict})

#: Messages of batches that left, after which a sender that never waits lets others have the loop: what it
#: sent goes out while it collects the next, and answers are read.
_TURN: Final = 100

#: A batch may be so many times as large in MessagePack as in JSON, where ``1.5,`` takes four bytes, not nine.
_GROWTH: Final = 3


class BatcherStats(msgspec.Struct, frozen=True):
    """A snapshot of a batcher.

    Parameters
    ----------
    collected, in_flight : int
        Messages that wait for their batch to leave, and for its answer.
    batches, messages : int
        What left so far.
    handled, refused, unknown : int
        What became of the messages.
    """

    collected: int
    in_flight: int
    batches: int
    messages: int
    handled: int
    refused: int
    unknown: int

    @property
    def messages_per_batch(self) -> float:
        """The mean of what left; nan before anything did."""
        return self.messages / self.batches if self.batches else math.nan


class MessageBatcher:
    """Collects messages, and sends them as one ``batch``, which the server answers with one ``ack``.

    Order is kept among its messages; what the connection or another batcher sends meanwhile may
    go first. Delivery is *at most once*, as with `Connection.send`, but never silent: each message
    has a `Receipt`, and what was refused or got no answer stays in `failures`.

    Parameters
    ----------
    conn : Connection
        Any transport. It stays open when the batcher is closed.

    # Window
    batch_size : int
        Messages at which a batch leaves at once, 1 to 1,000.
    flush_interval : float
        Seconds after a batch's first message at which it leaves; 0 sends together what one
        turn of the event loop sends.
    max_bytes : int
        Bytes of a batch's messages as JSON; one that is larger alone is refused. A batch never
        exceeds what the server takes either.
    window : BatchWindow, optional
        Another rule, in place of the three above.

    # Limits
    max_in_flight : int
        Messages without an answer, the collected ones included; above it, `send` waits.
    max_in_flight_bytes : int
        Bytes of those that left; at as many, `send` waits: a peer that does not read costs no more.
    answer_timeout : float
        Seconds until a batch without an answer counts as *unknown*.

    # Injected
    clock : callable
        Monotonic seconds.

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
        #: The newest messages that were refused or got no answer, each with its error.
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
        # Tasks of batches that may have to wait until they are written, and answers of those that had not to.
        self._asking: set[asyncio.Future[Any]] = set()
        self._not_begun = 0  # of the tasks: each writes as soon as it begins
        self._room = asyncio.Event()
        self._line = asyncio.Lock()
        self._in_line = 0
        self._frame_bytes = 0
        self._in_flight = self._bytes = self._since_turn = 0
        self._closed = False
        self._batches = self._messages = self._handled = self._refused = self._unknown = 0

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
        """Put one message into the batch that is being collected.

        Waits only while `max_in_flight` messages, or `max_in_flight_bytes`, have no answer.

        Parameters
        ----------
        type : str
            What it is; not ``"batch"``.
        payload : any
            The JSON data model. It is read now: a later change of it changes nothing.
        room_id : str, optional
            The room to publish it in.

        Returns
        -------
        Receipt
            Its result comes with the batch's answer.

        Raises
        ------
        MessageError
            The payload is not in the JSON data model, not what the connection's schemas say,
            or the message alone exceeds the byte limit. Nothing else is touched.
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
            or batch.size_bytes + size_bytes > window.max_bytes  # one that is full in number has left
        ):
            self._leave(now)
            collected = self._collected
        if payload.__class__ in _CONTAINERS:
            # The caller may change it before the batch leaves: keep what was said now.
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
        """Send what was collected, and wait until all that was sent before is answered or given up."""
        self._leave(self._clock())
        if self._asking:  # not what others send meanwhile: that might never end
            await asyncio.wait(tuple(self._asking))

    async def close(self) -> None:
        """Flush, and refuse what comes later. A second call waits for the first one's end."""
        self._closed = True
        self._room.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await self.flush()
        except asyncio.CancelledError:
            for asked in self._asking:
                asked.cancel()
            raise

    async def _wait_in_line(self) -> None:
        """Return when there is room, or none is needed: who came first goes first."""
        self._in_line += 1
        try:
            async with self._line:
                while not self._closed and (
                    self._in_flight >= self._max_in_flight or self._bytes >= self._max_bytes
                ):
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._in_line -= 1

    def _start_timer(self, now: float) -> None:
        """Wait for the batch's time. Of one that fills up before it, the timer stays, for a later one."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_for = self._batch.due
        wait = max(0.0, self._batch.due - now)
        self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        if self._timer_for >= self._batch.due:
            self._leave(now)
        elif self._collected:
            self._start_timer(now)

    def _leave(self, now: float) -> None:
        """Let the batch go, in several if the connection does not take it in one message."""
        if not self._collected:
            return
        receipts, self._collected = self._collected, []
        size = self._batch.size_bytes
        self._batch = self.window.leave(self._batch, now)
        whole = size * _GROWTH < self._conn.max_message_bytes
        for piece in [receipts] if whole else self._pieces(receipts):
            self._write(piece, size * len(piece) // len(receipts))

    def _pieces(self, receipts: list[Receipt]) -> list[list[Receipt]]:
        """Return what the connection takes one by one: another one, or its codec, may have come meanwhile."""
        half = len(receipts) // 2
        if not half or self._conn.fits(receipt.message for receipt in receipts):
            return [receipts]
        return [*self._pieces(receipts[:half]), *self._pieces(receipts[half:])]

    def _write(self, receipts: list[Receipt], size_bytes: int) -> None:
        """Write a batch: at once, or in a task that may wait; those behind it wait until that has begun.

        Tasks begin, and write, in the order in which they were made.
        """
        self._batches += 1
        self._messages += len(receipts)
        self._bytes += size_bytes
        items = CheckedItems([receipt.message for receipt in receipts])
        asked = None if self._not_begun else self._conn.batch_at_once(items, self._answer_timeout)
        if asked is None:
            asking = self._conn.request("batch", items, timeout=self._answer_timeout)
            asked = asyncio.create_task(asking, name="message batch")
            self._not_begun += 1
            asyncio.get_running_loop().call_soon(self._begun)  # behind the task's first step
            self._since_turn = _TURN  # a sender that never waits lets it begin
        else:
            self._since_turn += len(receipts)
        self._asking.add(asked)
        asked.add_done_callback(partial(self._answered, receipts, size_bytes))

    def _begun(self) -> None:
        self._not_begun -= 1

    def _answered(self, receipts: list[Receipt], size_bytes: int, asked: asyncio.Future[Message]) -> None:
        self._asking.discard(asked)
        self._bytes -= size_bytes
        results: list[Any] = []
        error: Exception | None = None
        try:
            results = cast("list[Any]", fields_of(unwrap(asked.result()).payload).get("results") or [])
            if len(results) != len(receipts):
                error = MessageError(f"expected {len(receipts)} results of a batch, got {len(results)}")
        except Exception as failed:  # whatever it is, nobody may wait for ever
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
        self._room.set()

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
