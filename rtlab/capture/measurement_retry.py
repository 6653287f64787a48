"""Measurements that a busy machine spoiled, made again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from rtlab.errors import MachineBusy

__all__ = ["ATTEMPTS", "again_while_busy"]

#: How often a measurement is tried. Most loads on a reader's machine are shorter than three of them.
ATTEMPTS: Final = 3
#: Seconds between two attempts.
_PAUSE: Final = 0.5

T = TypeVar("T")


async def again_while_busy(
    measure: Callable[[int], Coroutine[Any, Any, T]], *, again: Callable[[str], None] | None = None
) -> T:
    """Measure; where the machine was too busy for it, measure again, a few times.

    Parameters
    ----------
    measure : callable
        Takes the number of the attempt, from 0, and measures.
    again : callable, optional
        Is told before each further attempt, in words for the reader, who waits for it.

    Returns
    -------
    object
        What `measure` returned.

    Raises
    ------
    MachineBusy
        The last attempt's, when none succeeded. Other errors pass at once.

    Examples
    --------
    ::

        report = await again_while_busy(lambda attempt: measure_at(50 / 2**attempt))
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return await measure(attempt)
        except MachineBusy:
            if again is not None:
                again(f"the machine was too busy: attempt {attempt + 2} of {ATTEMPTS}")
            await asyncio.sleep(_PAUSE)
    try:
        return await measure(ATTEMPTS - 1)
    except MachineBusy as error:
        raise MachineBusy(f"tried {ATTEMPTS} times: {error}") from None  # one error to read, not two
