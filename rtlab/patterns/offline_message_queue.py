"""An offline queue: accepted messages are delivered, whatever happens to the connection or the process.

`MessageQueue` avoids the usual faults of such classes: it removes a message only when the server has
acknowledged it; it sends when a connection is really open, not on a hint such as the browser's ``online``
event; it is bounded; and a message that the server never accepts does not block those behind it.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any, Self

from rtlab.client.connection import Connection
from rtlab.client.delivery.acknowledged_send import kept_copy
from rtlab.client.delivery.parcel import Parcel
from rtlab.client.delivery.receipt import Receipt
from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.client.timeout_error_messages import within
from rtlab.errors import InvalidState, MessageTooLarge, NotConnected, QueueError, QueueFull, describe
from rtlab.patterns.group_commit import QueueWorker
from rtlab.patterns.queue_counters import QueueCounters
from rtlab.patterns.queue_link import QueueLink
from rtlab.patterns.queue_options import QueuedMessage, QueueOptions, QueueOverflow, QueueStats, as_queued
from rtlab.patterns.queue_sqlite_file import Change, Damage, Durability, StoredMessage
from rtlab.processes.owned_tasks import SingleFlight
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message

__all__ = ["MessageQueue"]


class MessageQueue:
    """Keeps messages on disk until the server acknowledges them: delivery *effectively once*, in order.

    Parameters
    ----------
    conn : Connection
        A connection over any transport, which stays open when the queue is closed. Open the queue
        before it: the queue's file holds the client's durable id.
    path : path or ``":memory:"``
        The SQLite file; in memory, messages survive a lost connection but not the process.
    name : str
        Name of the queue; one file can hold several.

    # Durability
    durability : {"full", "normal"}
        ``"full"``: a message survives a power cut once `send` has returned. ``"normal"`` is faster,
        but a power cut may lose the newest, which is reported. Both survive ``kill -9``.

    # Limits
    max_messages, max_bytes : int
        Limits of the waiting messages, in number and in bytes of JSON.
    max_age : float
        Seconds after which a message that was not sent becomes a dead letter. If a former process may have
        sent it, its error says so, unless `retry` queued it again. One that was sent is retransmitted.
    overflow : {"reject", "drop_oldest", "drop_newest"}
        When a message finds no room: `send` raises `QueueFull`; or the oldest message that was not sent is
        dropped (the new one, if all were); or the new one. A dropped message's receipt gets `QueueFull`.
    max_retries : int
        Refusals and missing answers after which a message becomes a dead letter; six unforeseen errors make
        it one too. A lost connection does not count, nor does the wait for a server's late welcome.

    # Sending
    window : int
        Messages that may be in flight without an acknowledgement.
    answer_timeout : float
        Seconds without an answer after which a message is retransmitted on an open connection.

    # Injected
    clock : callable
        Returns seconds since 1970, the time stamp of messages.

    Attributes
    ----------
    conn, path, name, options
        The arguments; `options` holds the limits.
    damage : Damage or None
        Why the file could not be used, and where it was set aside; its messages are not sent.

    Examples
    --------
    >>> async def talk(conn: Connection) -> None:
    ...     async with MessageQueue(conn, "outbox.sqlite") as queue, conn:
    ...         receipt = await queue.send("chat", {"text": "hi"}, room_id="lobby")
    ...         await receipt.acked(timeout=10)
    """

    def __init__(
        self,
        conn: Connection,
        path: str | PathLike[str] = ":memory:",
        *,
        name: str = "default",
        # Durability
        durability: Durability = "full",
        # Limits
        max_messages: int = 100_000,
        max_bytes: int = 64 * 1024 * 1024,
        max_age: float = math.inf,
        overflow: QueueOverflow = "reject",
        max_retries: int = 5,
        # Sending
        window: int = 256,
        answer_timeout: float = 5.0,
        # Injected
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.options = QueueOptions(
            durability, max_messages, max_bytes, max_age, overflow, max_retries, window, answer_timeout
        )
        self.damage: Damage | None = None
        self.conn = conn
        self.path = path
        self.name = name
        self._clock = clock
        self._worker: QueueWorker | None = None
        self._closing = PerLoop(SingleFlight)
        self._link: QueueLink | None = None
        self._next = self._first_own = 1
        self._counters = QueueCounters(name, max_messages, max_bytes)
        self._receipts: dict[int, Receipt] = {}
        self._retrying = PerLoop(asyncio.Lock)
        self._retried: set[int] = set()  # numbers of dead letters that are being replaced by their copies
        self._sent = self._dead = self._dropped = 0

    def __repr__(self) -> str:
        return f"<MessageQueue {self.name} {'open' if self.is_open else 'closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether the queue's file is open."""
        return self._worker is not None

    def __len__(self) -> int:
        return len(self._counters)

    @property
    def stats(self) -> QueueStats:
        """A frozen snapshot."""
        oldest = self._counters.oldest
        return QueueStats(
            depth=len(self._counters),
            size_bytes=self._counters.size_bytes,
            in_flight=self._link.delivery.in_flight if self._link is not None else 0,
            # The difference is negative if the clock was set back.
            oldest_age=max(0.0, self._clock() - oldest) if oldest is not None else 0.0,
            sent=self._sent,
            dead=self._dead,
            dropped=self._dropped,
        )

    # Opening and closing

    async def open(self) -> None:
        """Open the file, check it, and begin to send when the connection is open.

        Raises
        ------
        QueueError
            The file is in use, or its folder cannot be written.
        InvalidState
            The connection has another ``client_id`` than the file.
        """
        await self._closing.here.ended()
        if self._worker is not None:
            return
        worker = await QueueWorker.use(self.path, self.name, self.options.durability)
        try:
            file = await worker.opened()
            head = await worker.do(lambda: file.queue(self.name, self.conn.client_id))
            self.conn.client_id = head.client_id
            rows = await worker.do(lambda: file.waiting(self.name))
        except BaseException:
            await worker.leave(self.name)
            raise
        self.damage = file.damage
        self._worker = worker
        self._next = self._first_own = head.next_seq
        self._retried.clear()
        self._link = QueueLink(
            self.conn,
            head,
            lambda number: self._submit(Change(self.name, incarnation=number)),
            self._expire,
            self.options,
        )
        self._counters = QueueCounters(self.name, self.options.max_messages, self.options.max_bytes)
        with self._counters.filling():
            self._counters.add(*rows)
            self._put(*rows)
        self._link.start()

    async def close(self) -> None:
        """Stop sending and close the file, which keeps the waiting messages for the next `open`.

        A caller that is cancelled does not stop this: a second `close`, and `open`, wait for its end.
        """
        await self._closing.here.run(self._close)

    async def _close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        closed = NotConnected("the queue was closed; its file keeps the message")
        try:
            if self._link is not None:
                await self._link.stop(closed)
        finally:  # also if other code cancels all tasks: until then, nobody can open the file
            for receipt in self._receipts.values():
                receipt.settle({}, closed)
            self._receipts.clear()
            self._counters.idle.here.set()  # wakes `flush`, which finds the queue closed
            await worker.leave(self.name)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # Accepting messages

    async def send(self, type: str, payload: Any = None, *, room_id: str | None = None) -> Receipt:
        """Accept a message; return once it is on disk.

        Parameters
        ----------
        type, payload, room_id
            As for `Connection.send`. The queue joins the room if necessary.

        Returns
        -------
        Receipt
            Gets its result when the server answers, if this process still runs then.

        Raises
        ------
        QueueFull
            There is no room, and `overflow` is ``"reject"``.
        QueueError
            The message could not be written (a full disk, for instance) and is not in the queue.
        MessageError
            The message cannot be encoded, violates the connection's schemas, or is too large.
        """
        _, link = self._opened()
        message, size_bytes = kept_copy(Message(type, payload, secrets.token_urlsafe(9), room_id=room_id))
        link.check(message)
        if size_bytes > link.limit():
            raise MessageTooLarge(size_bytes, link.limit())
        receipt = Receipt(message)
        if not self._make_place(size_bytes):
            if self.options.overflow == "reject":
                raise QueueFull(f"{self._counters}: wait until it has been sent, or raise the limit")
            self._dropped += 1
            receipt.settle({}, QueueFull(f"{self._counters}: this message was dropped"))
            return receipt
        row = StoredMessage(self._next, JSON.encode(message), self._clock())
        self._next += 1
        self._receipts[row.seq] = receipt
        await self._accept(row)
        return receipt

    async def _accept(self, row: StoredMessage, former: tuple[int, ...] = ()) -> None:
        """Count a message, and return once it is on disk. Cancelling the wait does not withdraw it."""
        written = self._opened()[0].submit(Change(self.name, add=(row,), remove=former))
        self._counters.add(row)
        self._retried.update(former)
        written.add_done_callback(partial(self._accepted, row, former))
        await asyncio.shield(written)

    def _accepted(self, row: StoredMessage, former: tuple[int, ...], written: asyncio.Future[None]) -> None:
        if written.cancelled() or written.exception() is not None:
            self._retried.difference_update(former)
            self._forget(row.seq)
        else:
            self._put(row)

    def _opened(self) -> tuple[QueueWorker, QueueLink]:
        if self._worker is None or self._link is None:
            raise InvalidState("an open queue", "a closed one", "await open(), or use async with")
        if self._link.delivery.failed is not None:
            raise self._link.delivery.failed
        return self._worker, self._link

    def _make_place(self, size_bytes: int) -> bool:
        """Return whether one more message fits, after dropping older ones if that is the policy."""
        link = self._link if self.options.overflow == "drop_oldest" else None
        while not self._counters.has_room(size_bytes):
            if link is None or (parcel := link.delivery.withdraw()) is None:
                return False
            self._dropped += 1
            receipt = self._forget(parcel.seq)
            self._submit(Change(self.name, remove=(parcel.seq,)))
            if receipt is not None:
                receipt.settle({}, QueueFull(f"{self._counters}: this message was dropped for a newer one"))
        return True

    def _forget(self, seq: int) -> Receipt | None:
        self._counters.remove(seq)
        return self._receipts.pop(seq, None)

    # Sending them

    def _put(self, *rows: StoredMessage) -> None:
        """Pass messages that are on disk to `Retransmission`."""
        new = [Parcel(r.message, len(r.message), partial(self._settled, r), r.seq, r.timestamp) for r in rows]
        if self._link is not None:
            self._link.delivery.put(*new)

    def _expire(self) -> None:
        """Make messages that were not sent and are too old dead letters: a clock that jumps loses none."""
        before = self._clock() - self.options.max_age
        while self._link is not None and (parcel := self._link.delivery.withdraw(before)) is not None:
            text = f"it waited longer than {self.options.max_age:g} s"
            if parcel.seq < self._first_own:
                text += ", and may have been sent before the queue was opened"
            parcel.settle({}, QueueError(text))

    def _settled(self, row: StoredMessage, result: dict[str, Any], error: Exception | None) -> None:
        if isinstance(error, NotConnected) or self._worker is None:
            return
        code = getattr(error, "code", "")
        receipt = self._receipts.get(row.seq)
        if code in ("fenced", "wrong_user", "too_many_outboxes"):  # the message stays in the file
            if receipt is not None:
                receipt.settle({}, error)
            self._counters.idle.here.set()
            return
        self._forget(row.seq)
        if error is None:
            self._sent += 1
            self._submit(Change(self.name, remove=(row.seq,)))
        else:
            self._dead += 1
            row.dead = f"{code}: {error}" if code else describe(error)
            row.retry_count += 1
            self._submit(Change(self.name, rewrite=(row,)))
        if receipt is not None:
            receipt.settle(result, error)

    def _submit(self, change: Change) -> None:
        if self._worker is not None:
            self._worker.submit_until_written(change)

    # Inspection

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until the queue is empty, on disk too; raise `TimeoutError` after `timeout` seconds."""
        async with within(timeout, lambda: f"{len(self):,} messages wait: {self.conn.state.value}"):
            while len(self._counters):
                self._opened()
                await self._counters.idle.here.wait()
            await self._opened()[0].idle()

    async def messages(self, limit: int = 100) -> list[QueuedMessage]:
        """Return the oldest waiting messages, without removing them."""
        return [as_queued(row) for row in await self._load(limit, dead=False)]

    async def dead_letters(self, limit: int = 100) -> list[QueuedMessage]:
        """Return the oldest dead letters: messages that were given up."""
        return [as_queued(row) for row in await self._load(limit, dead=True)]

    async def _load(self, limit: int, *, dead: bool) -> list[StoredMessage]:
        worker, _ = self._opened()
        file = await worker.opened()
        return await worker.do(lambda: file.load(self.name, 0, limit, dead=dead))

    async def retry(self, id: str | None = None) -> int:
        """Queue dead letters again, behind all waiting messages: the one with this id, or all.

        Returns
        -------
        int
            How many were queued.

        Raises
        ------
        QueueError
            One could not be written (a full disk, for instance). It and later ones stay dead letters.
        """
        count = 0
        async with self._retrying.here:  # two at once would both find the same dead letters
            rows = await self._load(1 << 62, dead=True)
            # A retry that was cancelled may have left a copy that is not on disk yet.
            self._retried.intersection_update(row.seq for row in rows)
            for row in rows:
                if row.seq in self._retried or (id is not None and as_queued(row).id != id):
                    continue
                again = StoredMessage(self._next, row.message, self._clock())
                self._next += 1
                await self._accept(again, (row.seq,))
                count += 1
        return count
