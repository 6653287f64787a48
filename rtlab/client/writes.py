"""Writes under way: each can be broken off from outside, by a deadline or a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from rtlab.errors import NotConnected

__all__ = ["Writes"]


class _Write:
    """One task's write: why it is broken off, and how often the task was cancelled before."""

    __slots__ = ("cancelled_before", "error")

    def __init__(self, cancelled_before: int) -> None:
        self.error: Exception | None = None
        self.cancelled_before = cancelled_before


class Writes:
    """The writes of one connection, one at a time for each task that writes.

    A transport's write may wait for a peer that does not read. Breaking it off works as
    `asyncio.timeout` does (the task is cancelled, and the cancellation becomes an error),
    but costs no timer for a write that does not wait.

    Examples
    --------
    >>> async def send(writes: Writes, transport: Transport, message: Message) -> None:
    ...     await writes.run(transport.send(message))
    """

    def __init__(self) -> None:
        self._under_way: dict[asyncio.Task[object], _Write] = {}

    async def run(self, write: Awaitable[None]) -> None:
        """Await one write.

        Raises
        ------
        Exception
            The error that `break_off` was given, or what the write itself raises.
        """
        task = asyncio.current_task()
        assert task is not None
        entry = self._under_way[task] = _Write(task.cancelling())
        try:
            await write
        except asyncio.CancelledError:
            if entry.error is None or task.uncancel() > entry.cancelled_before:
                raise  # the caller was cancelled by somebody else (too)
            raise entry.error from None
        else:
            if entry.error is not None:  # the transport swallowed the cancellation
                task.uncancel()
                raise entry.error
        finally:
            del self._under_way[task]

    def break_off(self, task: asyncio.Task[object], error: Exception) -> None:
        """Let the write of a task raise `error`; nothing if it does not write now."""
        entry = self._under_way.get(task)
        if entry is not None and entry.error is None:
            entry.error = error
            task.cancel()

    def break_off_all(self, reason: str) -> None:
        """Let every write raise `NotConnected`."""
        for task in tuple(self._under_way):
            self.break_off(task, NotConnected(reason))

    def forget(self) -> None:
        """Drop what belongs to an event loop that is closed."""
        self._under_way.clear()
