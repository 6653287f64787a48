"""One thread for each open queue file, which writes waiting changes together, in one transaction.

Committing to a disk takes milliseconds, whatever the number of messages. So the changes that
arrive while one transaction is written share the next one (*group commit*).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.errors import InvalidState, QueueError, describe
from rtlab.patterns.queue_sqlite_file import Change, Durability, QueueFile

__all__ = ["QueueWorker"]

_log: Final = logging.getLogger("rtlab")

T = TypeVar("T")
_Group = list[tuple[Change, "asyncio.Future[None]"]]  # changes of one transaction, and who waits for each

#: Real path of a file → its worker, which the queues of the file share.
_open: dict[str, QueueWorker] = {}


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


class QueueWorker:
    """A queue file, its thread, and the names of the queues that use it."""

    def __init__(self, path: str, durability: Durability) -> None:
        self.path = path
        self.durability: Durability = durability
        self.loop = asyncio.get_running_loop()  # that of the last change
        self.names: set[str] = set()
        self.file: QueueFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="message queue")
        self._opening: asyncio.Future[QueueFile] | None = None
        self._waiting: _Group = []
        self._idle = PerLoop(_set_event)  # set while nothing is being written

    @classmethod
    async def use(cls, path: str | os.PathLike[str], name: str, durability: Durability) -> QueueWorker:
        """Open a file for one queue, or share it with this process's other queues.

        Raises
        ------
        QueueError
            The file cannot be used.
        InvalidState
            The queue, or the file with another durability, is already open in this process.
        """
        real = os.fspath(path)
        worker = None
        if real != ":memory:":
            real = os.path.realpath(real)  # noqa: ASYNC240 - no slower than what follows it
            worker = _open.get(real)
            if worker is not None and worker.loop.is_closed():
                worker.abandon()
                worker = None
        if worker is None:
            worker = cls(real, durability)
            if real != ":memory:":
                _open[real] = worker
        if name in worker.names or worker.durability != durability:
            what = f"the queue {name!r}" if name in worker.names else f"durability={worker.durability!r}"
            raise InvalidState(
                "a queue that is not open here", f"{what} open on {real}", "use that one, or close it"
            )
        worker.names.add(name)
        try:
            await worker.opened()
        except BaseException:
            await worker.leave(name)
            raise
        return worker

    async def opened(self) -> QueueFile:
        """Return the file, once it is open and checked."""
        if self._opening is None:
            self._opening = self.do(self._open_file)
        return await asyncio.shield(self._opening)

    def _open_file(self) -> QueueFile:
        self.file = file = QueueFile(self.path, self.durability)
        if file.damage is not None:
            _log.warning("the queue's file was damaged (%s) and is kept as %s", *file.damage)
        return file

    def _close_file(self) -> None:
        if self.file is not None:  # this runs in the same thread after `_open_file`, which may have failed
            self.file.close()

    def do(self, action: Callable[[], T]) -> asyncio.Future[T]:
        """Run a function in the file's thread; return the future of its result."""
        return asyncio.get_running_loop().run_in_executor(self._thread, action)

    def submit(self, change: Change) -> asyncio.Future[None]:
        """Hand a change over; the future is done when it is on disk, or raises `QueueError`."""
        loop = self.loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((change, done))
        if self._idle.here.is_set():
            self._idle.here.clear()
            loop.call_soon(self._write)  # with the changes that come later in this turn
        return done

    def submit_until_written(self, change: Change) -> None:
        """Write a change in the background; after a failure (a full disk, for instance), try again."""
        if change.queue in self.names:
            self.submit(change).add_done_callback(partial(self._submitted, change))

    def _submitted(self, change: Change, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:  # at worst, a message that was not removed is sent again
            _log.warning("the queue %r: %s", change.queue, error)
            asyncio.get_running_loop().call_later(1.0, self.submit_until_written, change)

    def _write(self) -> None:
        """Hand the waiting changes to the thread. No task does this: other code could cancel it."""
        file = self.file
        assert file is not None
        group, self._waiting = self._waiting, []
        changes = [change for change, _ in group]
        try:
            self.do(lambda: file.apply(changes)).add_done_callback(partial(self._written, group))
        except RuntimeError as error:  # the thread was shut down
            self._answer(group, error)
            self._idle.here.set()

    def _written(self, group: _Group, result: asyncio.Future[None]) -> None:
        self._answer(group, asyncio.CancelledError() if result.cancelled() else result.exception())
        if self._waiting:
            self._write()
        else:
            self._idle.here.set()

    def _answer(self, group: _Group, error: BaseException | None) -> None:
        """Give every change its result, whatever kind of error it is: no caller may wait for ever."""
        for _, done in group:
            if done.done() or done.get_loop().is_closed():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(QueueError(str(error) or describe(error)))
                done.exception()  # marks it as retrieved: perhaps nobody awaits this change

    async def idle(self) -> None:
        """Return when nothing is being written."""
        await self._idle.here.wait()

    async def leave(self, name: str) -> None:
        """Release the file for one queue, after pending writes; close it after the last queue.

        Also if this is cancelled: the thread does all that was handed to it first, in order.
        """
        try:
            await self.idle()
        finally:
            self.names.discard(name)
            if not self.names:
                if self._waiting:
                    self._write()
                _open.pop(self.path, None)
                closed = self.do(self._close_file)
                self._thread.shutdown(wait=False)
                await asyncio.shield(closed)

    def abandon(self) -> None:
        """Close the file of a worker whose event loop has ended."""
        _open.pop(self.path, None)
        self._thread.submit(self._close_file).result(timeout=10)
        self._thread.shutdown(wait=False)
