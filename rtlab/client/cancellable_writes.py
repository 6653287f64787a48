"""Writes that wait, and that a deadline or a lost connection can interrupt."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

from rtlab.errors import NotConnected

__all__ = ["CancellableWrites"]


class _Waiting:
    """One waiting write, and the task that it runs in."""

    __slots__ = ("_cancelled_before", "_task", "error")

    def __init__(self, task: asyncio.Task[object]) -> None:
        self.error: BaseException | None = None
        self._task = task
        self._cancelled_before = task.cancelling()

    def break_off(self, error: BaseException) -> None:
        """Make the write raise `error`."""
        if self.error is None:
            self.error = error
            self._task.cancel()

    def expire(self, answer: asyncio.Future[Any]) -> None:
        """Make the write raise the exception of its request's answer, if the answer has one."""
        error = None if answer.cancelled() else answer.exception()
        if error is not None:
            self.break_off(error)

    def resume(self) -> bool:
        """Undo the cancellation that interrupted the write; return whether it was the only one."""
        return self._task.uncancel() <= self._cancelled_before


class CancellableWrites:
    """One connection's writes that wait because the peer does not read.

    A write is interrupted in the way of `asyncio.timeout`: its task is cancelled, and the
    cancellation is turned into an error. A write that need not wait, as most, costs nothing here.

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
            The coroutine that a transport's `send` returned.
        answer : asyncio.Future, optional
            The future answer to the message. If it fails, the write is interrupted with the
            same error.

        Raises
        ------
        Exception
            The error that interrupted the write, or an exception of the write itself.
        """
        try:
            waits_for = write.send(None)
        except StopIteration:
            return
        task = asyncio.current_task()
        assert task is not None
        waiting = _Waiting(task)
        among = self._waiting
        among.add(waiting)
        if answer is not None:
            answer.add_done_callback(waiting.expire)
        try:
            await _rest(write, waits_for)
        except asyncio.CancelledError:
            if waiting.error is None or not waiting.resume():
                raise  # other code has cancelled the caller (too)
            raise waiting.error from None
        else:
            if waiting.error is not None:  # the transport swallowed the cancellation
                waiting.resume()
                raise waiting.error
        finally:
            among.discard(waiting)
            if answer is not None:
                answer.remove_done_callback(waiting.expire)

    def break_off_all(self, reason: str) -> None:
        """Make every waiting write raise `NotConnected`."""
        for waiting in self._waiting:
            waiting.break_off(NotConnected(reason))

    def detach(self) -> CancellableWrites:
        """Move the waiting writes to a new object, which breaks off these alone, and not later ones."""
        detached = CancellableWrites()
        detached._waiting, self._waiting = self._waiting, detached._waiting
        return detached

    def forget(self) -> None:
        """Drop all waiting writes: their event loop is closed."""
        self._waiting.clear()


@types.coroutine
def _rest(started: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine that was started with ``send(None)``: ``yield from`` from there on."""
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
