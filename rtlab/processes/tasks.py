"""Several things at the same time, of which none outlives the others' failure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["together", "until_stopped"]

T = TypeVar("T")


async def together(*ones: Coroutine[Any, Any, T]) -> list[T]:
    """Run coroutines at the same time; when one fails, end the others before its error is raised.

    `asyncio.gather` leaves the others running: their connections, proxies and faults then stand
    in the way of what the reader runs next. A `asyncio.TaskGroup` ends them, but raises a group
    of errors, which hides what the one says to do.

    Parameters
    ----------
    *ones : coroutine
        What to run.

    Returns
    -------
    list
        What they returned, in their order.

    Raises
    ------
    BaseException
        The first error, as it is; a cancellation of the caller ends all of them.

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
    if failed is not None:  # outside: its context must not be the group that it is in, a circle
        raise failed
    return [task.result() for task in tasks]


async def until_stopped(run: Coroutine[Any, Any, T], stopped: asyncio.Event | None) -> T | None:
    """Run a coroutine to its end, or until the reader presses Stop: then it is cancelled, and has ended.

    Parameters
    ----------
    run : coroutine
        What to run.
    stopped : asyncio.Event or None
        Set by Stop, as `LatencyPlot.stopped`; None lets it run to its end.

    Returns
    -------
    object or None
        What it returned; None after Stop.

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
        await asyncio.wait((running, stopping))  # also when this is cancelled
        if not running.cancelled():
            running.exception()  # noted: nobody else will ask
    return None if running.cancelled() else running.result()
