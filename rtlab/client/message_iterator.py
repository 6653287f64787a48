"""An open iterator over a connection's messages: ``async for message in conn``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from rtlab.client.repeats_and_gaps import Receipt
from rtlab.protocol.messages import Message

__all__ = ["Stream"]


class Stream:
    """An open iterator. The inbox holds it weakly, so dropping it closes it.

    A message counts as handled when the next one is asked for.

    Parameters
    ----------
    settle : callable
        Called with the receipt of each message that counts as handled.
    limit : int
        Messages that may wait; at this many, `space` is cleared.

    Attributes
    ----------
    space : asyncio.Event
        Set while another message fits; the reader of the transport waits for it.
    """

    __slots__ = ("__weakref__", "_last", "_limit", "_settle", "end", "ended", "queue", "space")

    def __init__(self, settle: Callable[[Receipt], None], limit: int) -> None:
        self._settle = settle
        self._limit = limit
        self._last: Receipt | None = None
        self.queue: asyncio.Queue[tuple[Message, Receipt] | None] = asyncio.Queue()
        self.space = asyncio.Event()
        self.space.set()
        self.ended = False
        self.end: Exception | None = None

    def put(self, message: Message, receipt: Receipt) -> None:
        """Add a message; `space` says whether another one fits."""
        self.queue.put_nowait((message, receipt))
        if self.queue.qsize() >= self._limit:
            self.space.clear()

    def has_room(self, messages: int) -> bool:
        """Return whether so many more fit."""
        return self.queue.qsize() + messages <= self._limit

    def finish(self, error: Exception | None) -> None:
        """End the iteration after the messages that wait, with `error` if there is one.

        Also wakes the transport's reader, if it is blocked on a full queue.
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
        # The end stays in the queue: other tasks may wait on this iterator, or call it again.
        self.queue.put_nowait(None)
        if self.end is not None:
            raise self.end
        raise StopAsyncIteration
