"""Repeats a measurement that a busy machine spoiled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from rtlab.errors import MachineBusy

__all__ = ["ATTEMPTS", "again_while_busy"]

#: Number of attempts. Most other load on a reader's machine ends before the third.
ATTEMPTS: Final = 3
#: Seconds between two attempts.
_PAUSE: Final = 0.5

T = TypeVar("T")


async def again_while_busy(
    measure: Callable[[int], Coroutine[Any, Any, T]], *, again: Callable[[str], None] | None = None
) -> T:
    """Measure; if the machine was too busy, measure again, at most `ATTEMPTS` times in all.

    Parameters
    ----------
    measure : callable
        Takes the number of the attempt, from 0, and measures.
    again : callable, optional
        Called before each further attempt, with a sentence to show to the waiting user.

    Returns
    -------
    object
        What `measure` returned.

    Raises
    ------
    MachineBusy
        If no attempt succeeded: the last attempt's error. Other errors are raised at once.

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
        raise MachineBusy(f"tried {ATTEMPTS} times: {error}") from None  # without the original traceback
