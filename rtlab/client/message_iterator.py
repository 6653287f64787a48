"""An open iterator over a connection's messages: ``async for message in conn``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from rtlab.client.delivery.repeats_and_gaps import MessageNumbers
from rtlab.protocol.message_format import Message

__all__ = ["MessageIterator"]


class MessageIterator:
    """An open iterator. The dispatch has only a weak reference, so an iterator that is dropped is closed.

    A message counts as handled when the next one is asked for.

    Parameters
    ----------
    settle : callable
        Called with the receipt of each message when that message counts as handled.
    limit : int
        The most messages that may wait; when the queue reaches it, `space` is cleared.

    Attributes
    ----------
    space : asyncio.Event
        Set while the queue has room; the task that reads the transport waits for it.
    """

    __slots__ = ("__weakref__", "_last", "_limit", "_settle", "end", "ended", "queue", "space")

    def __init__(self, settle: Callable[[MessageNumbers], None], limit: int) -> None:
        self._settle = settle
        self._limit = limit
        self._last: MessageNumbers | None = None
        self.queue: asyncio.Queue[tuple[Message, MessageNumbers] | None] = asyncio.Queue()
        self.space = asyncio.Event()
        self.space.set()
        self.ended = False
        self.end: Exception | None = None

    def put(self, message: Message, receipt: MessageNumbers) -> None:
        """Add a message; clear `space` if the queue is full now."""
        self.queue.put_nowait((message, receipt))
        if self.queue.qsize() >= self._limit:
            self.space.clear()

    def has_room(self, messages: int) -> bool:
        """Return whether the queue has room for `messages` more."""
        return self.queue.qsize() + messages <= self._limit

    def finish(self, error: Exception | None) -> None:
        """End the iteration after the waiting messages, by raising `error` if there is one.

        Also wakes the task that reads the transport, if it is blocked on the full queue.
        """
        self.ended, self.end = True, error
        self.queue.put_nowait(None)
        self.space.set()

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
                self.space.set()
            return message
        # Put the end marker back: other tasks may wait on this iterator, or this one may ask again.
        self.queue.put_nowait(None)
        if self.end is not None:
            raise self.end
        raise StopAsyncIteration
