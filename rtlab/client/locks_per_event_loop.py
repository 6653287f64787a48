"""Locks and events of asyncio in objects that may be used in more than one `asyncio.run`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One object for each event loop, made on first use there; those of closed loops are dropped.

    An `asyncio.Lock` belongs to the loop on which a task first waited for it, and is never released
    if that loop ends while a task holds it.

    Parameters
    ----------
    make : callable
        Makes the object, for example `asyncio.Lock`.

    Examples
    --------
    >>> turn = PerLoop(asyncio.Lock)
    >>> async def locked() -> bool:
    ...     async with turn.here:
    ...         return turn.here.locked()
    >>> asyncio.run(locked()), asyncio.run(locked())
    (True, True)
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    @property
    def here(self) -> T:
        """The running loop's object."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            self._made = {other: one for other, one in self._made.items() if not other.is_closed()}
            self._made[loop] = self._make()
        return self._made[loop]
