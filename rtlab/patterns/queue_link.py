"""Connects a queue to the server: follows its connection, and joins the rooms that its messages name."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from rtlab.client.connection import Connection, State
from rtlab.client.delivery.outbox_identity import OutboxIdentity
from rtlab.client.delivery.retransmission import Retransmission
from rtlab.client.event_emitter import Connected, Disconnected
from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.errors import RtlabError
from rtlab.patterns.queue_options import QueueOptions
from rtlab.patterns.queue_sqlite_file import QueueHead
from rtlab.processes.owned_tasks import OwnedTasks
from rtlab.protocol.message_format import Message

__all__ = ["QueueLink"]


class QueueLink:
    """Runs a queue's `Retransmission` while the connection is open, and owns the tasks of both.

    Parameters
    ----------
    conn : Connection
        The queue's connection, which the link neither opens nor closes.
    head : QueueHead
        The stream and the incarnation by which the server knows the queue.
    incarnated : callable
        Called with the incarnation number that the server gives this process.
    before_sending : callable
        Called when a connection has opened, before messages are sent over it.
    options : QueueOptions
        Its window, answer timeout and retries are those of the `Retransmission`.
    """

    def __init__(
        self,
        conn: Connection,
        head: QueueHead,
        incarnated: Callable[[int], None],
        before_sending: Callable[[], None],
        options: QueueOptions,
    ) -> None:
        self._conn = conn
        self._incarnated = incarnated
        self._before_sending = before_sending
        self._tasks = PerLoop(OwnedTasks)
        self._turn = PerLoop(asyncio.Lock)
        self._identity = OutboxIdentity(
            head.stream, head.stream, secrets.token_urlsafe(12), after=head.incarnation
        )
        self.delivery = Retransmission(
            self._request,
            self.spawn,
            self.limit,
            identity=self._identity,
            window=options.window,
            answer_timeout=options.answer_timeout,
            max_retries=options.max_retries,
            progress=self._progress,
        )

    def start(self) -> None:
        """Follow the connection: send whenever it is open."""
        self._conn.on("connected", self._connected)
        self._conn.on("disconnected", self._disconnected)
        if self._conn.state is State.CONNECTED:
            self.delivery.opened()

    async def stop(self, error: RtlabError) -> None:
        """Stop sending; messages without a result get this error."""
        self._conn.off("connected", self._connected)
        self._conn.off("disconnected", self._disconnected)
        self.delivery.end(error)
        tasks = tuple(self._tasks.here.running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that `stop` cancels and awaits."""
        return self._tasks.here.spawn(work)

    def check(self, message: Message) -> None:
        """Raise `MessageError` if a message violates the connection's schemas."""
        self._conn.check(message)

    def limit(self) -> int:
        """Return the largest frame to send, in bytes, as far as it is known."""
        return self._conn.max_message_bytes

    async def _request(self, items: list[dict[str, Any]], timeout: float) -> Message:
        rooms = {str(item["roomId"]) for item in items if item.get("roomId")}
        async with self._turn.here:  # it is fair: later batches wait here, and keep their order
            # Only the connection knows which rooms it is in: the application may leave one, and the server
            # may not take this client back.
            for room_id in sorted(rooms):
                if not self._conn.follows(room_id):
                    await self._conn.join_room(room_id, will_repeat=True)
        return await self._conn.repeatable_batch(items, timeout)

    def _progress(self) -> None:
        number = self._identity.incarnation
        if number is not None and number != self._identity.after:
            self._identity.after = number
            self._incarnated(number)

    def _connected(self, event: Connected) -> None:
        self._before_sending()
        self.delivery.opened()

    def _disconnected(self, event: Disconnected) -> None:
        self.delivery.lost()
