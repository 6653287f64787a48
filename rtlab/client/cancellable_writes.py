"""Writes that wait: each can be broken off from outside, by a deadline or a lost connection."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

from rtlab.errors import NotConnected

__all__ = ["Writes"]


class _Waiting:
    """One write that waits, in its task."""

    __slots__ = ("_cancelled_before", "_task", "error")

    def __init__(self, task: asyncio.Task[object]) -> None:
        self.error: BaseException | None = None
        self._task = task
        self._cancelled_before = task.cancelling()

    def break_off(self, error: BaseException) -> None:
        """Let the write raise `error`."""
        if self.error is None:
            self.error = error
            self._task.cancel()

    def expire(self, answer: asyncio.Future[Any]) -> None:
        """Let the write raise what its request raised, if it did."""
        error = None if answer.cancelled() else answer.exception()
        if error is not None:
            self.break_off(error)

    def resume(self) -> bool:
        """Take back the cancellation that broke the write off; return whether it was the only one."""
        return self._task.uncancel() <= self._cancelled_before


class Writes:
    """The writes of one connection that wait for a peer that does not read.

    Breaking one off works as `asyncio.timeout` does: the task is cancelled, and the
    cancellation becomes an error. Most writes never wait, and cost nothing here.

    Examples
    --------
    >>> async def send(writes: Writes, transport: Transport, message: Message) -> None:
    ...     await writes.run(transport.send(message))
    """

    def __init__(self) -> None:
        self._waiting: set[_Waiting] = set()

    async def run(self, write: Coroutine[Any, Any, None], answer: asyncio.Future[Any] | None = None) -> None:
        """Await one write.

        Parameters
        ----------
        write : coroutine
            What a transport's `send` returned.
        answer : asyncio.Future, optional
            What the message asks for: when that fails, the write is broken off with the
            same error.

        Raises
        ------
        Exception
            The error that broke the write off, or what the write itself raises.
        """
        try:
            waits_for = write.send(None)
        except StopIteration:
            return
        task = asyncio.current_task()
        assert task is not None
        waiting = _Waiting(task)
        self._waiting.add(waiting)
        if answer is not None:
            answer.add_done_callback(waiting.expire)
        try:
            await _rest(write, waits_for)
        except asyncio.CancelledError:
            if waiting.error is None or not waiting.resume():
                raise  # the caller was cancelled by somebody else (too)
            raise waiting.error from None
        else:
            if waiting.error is not None:  # the transport swallowed the cancellation
                waiting.resume()
                raise waiting.error
        finally:
            self._waiting.discard(waiting)
            if answer is not None:
                answer.remove_done_callback(waiting.expire)

    def break_off_all(self, reason: str) -> None:
        """Let every write that waits raise `NotConnected`."""
        for waiting in self._waiting:
            waiting.break_off(NotConnected(reason))

    def forget(self) -> None:
        """Drop what belongs to an event loop that is closed."""
        self._waiting.clear()


@types.coroutine
def _rest(started: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine that was started by hand: ``yield from`` without the first step."""
    try:
        while True:
            try:
                came = yield waits_for
            except BaseException as error:
                waits_for = started.throw(error)
            else:
                waits_for = started.send(came)
    except StopIteration:
        pass
