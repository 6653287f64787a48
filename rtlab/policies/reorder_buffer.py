"""Puts numbered items back in order: holds early items, and gives up missing ones after a time."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import msgspec

__all__ = ["Released", "ReorderBuffer"]

T = TypeVar("T")


class Released(msgspec.Struct, Generic[T], frozen=True):
    """The items that one step releases.

    Parameters
    ----------
    items : tuple
        The released items, in order.
    skipped : tuple of (int, int)
        Ranges of numbers that were given up, both ends included.
    """

    items: tuple[T, ...] = ()
    skipped: tuple[tuple[int, int], ...] = ()


class ReorderBuffer(Generic[T]):
    """Holds items whose predecessors are missing, in bounded number and for a bounded time.

    One buffer serves one sequence of numbers. A sender that begins again at 0 needs a new buffer;
    otherwise all of its items count as late.

    Parameters
    ----------
    max_items : int
        The most items to hold; one more gives up the oldest gap.
    max_wait : float
        The longest time in seconds that an item waits for its predecessors.
    first : int
        The number of the first item.

    Raises
    ------
    ValueError
        A limit is out of range.

    Examples
    --------
    >>> buffer = ReorderBuffer(max_items=8, max_wait=1.0)
    >>> buffer.add(1, "b", now=0.0).items
    ()
    >>> buffer.add(0, "a", now=0.1).items
    ('a', 'b')
    >>> _ = buffer.add(4, "e", now=0.2)
    >>> buffer.tick(now=1.3)
    Released(items=('e',), skipped=((2, 3),))
    """

    def __init__(self, *, max_items: int = 1024, max_wait: float = 1.0, first: int = 0) -> None:
        whole: dict[str, object] = {"max_items": max_items, "first": first}
        for name, value in whole.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"expected {name} to be a whole number, got {value!r}")
        if max_items < 1:
            raise ValueError(f"expected max_items >= 1, got {max_items!r}")
        if not 0 <= max_wait < math.inf:
            raise ValueError(f"expected max_wait >= 0, in finite seconds, got {max_wait!r}")
        self._max_items = max_items
        self._max_wait = max_wait
        self._next = first
        self._held: dict[int, tuple[T, float]] = {}
        #: The number of items that came twice, or after they were given up.
        self.late = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def due(self) -> float:
        """The time at which the oldest item will have waited too long; ``inf`` while none waits."""
        return next((came for _, came in self._held.values()), math.inf) + self._max_wait

    def add(self, number: int, item: T, now: float) -> Released[T]:
        """Add one item; release the items that are in order now, or have waited too long.

        The caller must also call `tick` when `due` has come, because no further item may ever come.

        Parameters
        ----------
        number : int
            The item's number, which is one more than its predecessor's.
        item : any
            The item.
        now : float
            The time in seconds, on a monotonic clock.
        """
        if number < self._next or number in self._held:
            self.late += 1
        else:
            self._held[number] = (item, now)
        return self.tick(now)

    def tick(self, now: float) -> Released[T]:
        """Release items in order; give up gaps while items are too many, or have waited too long."""
        items = self._in_order()
        skipped: list[tuple[int, int]] = []
        while self._held and (len(self._held) > self._max_items or self.due <= now):
            skipped.append(self._skip())
            items += self._in_order()
        return Released(tuple(items), tuple(skipped))

    def _skip(self) -> tuple[int, int]:
        gap = (self._next, min(self._held) - 1)
        self._next = gap[1] + 1
        return gap

    def _in_order(self) -> list[T]:
        items: list[T] = []
        while (held := self._held.pop(self._next, None)) is not None:
            items.append(held[0])
            self._next += 1
        return items
