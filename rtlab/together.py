"""Several things at the same time, of which none outlives the others' failure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["together"]

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
