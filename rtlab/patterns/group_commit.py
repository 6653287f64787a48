"""One thread for each open queue file, which writes waiting changes together, in one transaction.

Committing to a disk takes milliseconds, whatever the number of messages. So the changes that
arrive while one transaction is written share the next one (*group commit*).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rtlab.errors import InvalidState, QueueError
from rtlab.patterns.queue_file import Change, Durability, QueueFile

__all__ = ["QueueWorker"]

T = TypeVar("T")

#: Real path of a file → its worker, which the queues of the file share.
_open: dict[str, QueueWorker] = {}


class QueueWorker:
    """A queue file, its thread, and the names of the queues that use it."""

    def __init__(self, path: str, durability: Durability) -> None:
        self.path = path
        self.durability: Durability = durability
        self.loop = asyncio.get_running_loop()
        self.names: set[str] = set()
        self.file: QueueFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="message queue")
        self._opening: asyncio.Task[QueueFile] | None = None
        self._waiting: list[tuple[Change, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

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
            worker.names.discard(name)
            if not worker.names:
                worker.abandon()
            raise
        return worker

    async def opened(self) -> QueueFile:
        """Return the file, once it is open and checked."""
        if self._opening is None:
            self._opening = asyncio.create_task(self.do(lambda: QueueFile(self.path, self.durability)))
        file = await asyncio.shield(self._opening)
        self.file = file
        return file

    async def do(self, action: Callable[[], T]) -> T:
        """Run a function in the file's thread, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    async def commit(self, change: Change) -> None:
        """Write a change, and return once it is on disk.

        Raises
        ------
        QueueError
            The change was not written.
        """
        await self.submit(change)

    def submit(self, change: Change) -> asyncio.Future[None]:
        """Hand a change over; the future is done when it is on disk."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, done))
        if self._task is None:
            self._task = asyncio.create_task(self._write(), name="queue commits")
        return done

    async def _write(self) -> None:
        file = self.file
        assert file is not None
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                changes = [change for change, _ in group]
                error: Exception | None = None
                try:
                    await self.do(lambda changes=changes: file.apply(changes))
                except Exception as failed:  # of any kind: no caller may wait for ever
                    error = failed
                for _, done in group:
                    if done.done():
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(QueueError(str(error)))
                        done.exception()  # marks it as retrieved: perhaps nobody awaits this change
        finally:
            self._task = None

    async def idle(self) -> None:
        """Return when nothing is being written."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def leave(self, name: str) -> None:
        """Release the file for one queue, after pending writes; close it after the last queue."""
        await self.idle()
        self.names.discard(name)
        if self.names:
            return
        _open.pop(self.path, None)
        if self.file is not None:
            await self.do(self.file.close)
        self._thread.shutdown(wait=False)

    def abandon(self) -> None:
        """Close the file of a worker whose event loop has ended, or whose file could not be opened."""
        _open.pop(self.path, None)
        if self.file is not None:
            self._thread.submit(self.file.close).result(timeout=10)
        self._thread.shutdown(wait=False)
