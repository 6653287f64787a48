"""Tasks with an owner, and concurrent coroutines that are all cancelled when one fails or is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["OwnedTasks", "SingleFlight", "Spawn", "together", "until_stopped"]

T = TypeVar("T")

#: Starts a coroutine as a task that the receiver of the call owns.
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class OwnedTasks:
    """Keeps the running tasks of one owner, who is to cancel and await them; this class does neither.

    Attributes
    ----------
    running : set of asyncio.Task
        The tasks that have not ended.
    """

    def __init__(self) -> None:
        self.running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a coroutine as a task of the owner."""
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: the event loop has raised an interrupt already


class SingleFlight:
    """Runs a coroutine once for all its callers, in a task of its own.

    A caller that is cancelled does not stop it: the others get its outcome.
    """

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start the work unless it runs already, and return, or raise its error, when it has ended."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(work())
        await asyncio.shield(self._running)

    async def ended(self) -> None:
        """Return when no work is running."""
        if self._running is not None:
            await asyncio.wait((self._running,))


async def together(*ones: Coroutine[Any, Any, T]) -> list[T]:
    """Run coroutines concurrently; when one fails, cancel the others before its error is raised.

    `asyncio.gather` leaves the others running: their connections, proxies and faults would
    disturb the notebook cell that is run next. An `asyncio.TaskGroup` cancels them, but raises
    an `ExceptionGroup`, which hides the advice in the message of the one error.

    Parameters
    ----------
    *ones : coroutine
        The coroutines to run.

    Returns
    -------
    list
        Their results, in the order of the arguments.

    Raises
    ------
    BaseException
        The first error, not in a group. Cancelling the caller cancels all coroutines.

    Examples
    --------
    >>> import asyncio
    >>> asyncio.run(together(asyncio.sleep(0.01, "slow"), asyncio.sleep(0, "fast")))
    ['slow', 'fast']
    """
    failed: BaseException | None = None
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(one) for one in ones]
    except BaseExceptionGroup as errors:
        failed = errors.exceptions[0]
    if failed is not None:  # not in `except`: its context would be the group that contains it, a cycle
        raise failed
    return [task.result() for task in tasks]


async def until_stopped(run: Coroutine[Any, Any, T], stopped: asyncio.Event | None) -> T | None:
    """Run a coroutine to its end, or until the user presses Stop, which cancels it and awaits its end.

    Parameters
    ----------
    run : coroutine
        The coroutine to run.
    stopped : asyncio.Event or None
        Set by the Stop button, as `LatencyPlot.stopped` is; None lets `run` run to its end.

    Returns
    -------
    object or None
        The result of `run`; None after Stop.

    Examples
    --------
    ::

        seen = await until_stopped(measure(), plot.stopped)
    """
    running = asyncio.ensure_future(run)
    stopping = asyncio.ensure_future(asyncio.Event().wait() if stopped is None else stopped.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
    finally:
        running.cancel()
        stopping.cancel()
        await asyncio.wait((running, stopping))  # also when `until_stopped` is cancelled
        if not running.cancelled():
            running.exception()  # marks the error as retrieved
    return None if running.cancelled() else running.result()
