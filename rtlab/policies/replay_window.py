"""A replay window: each number is taken once, also when numbers come out of order (RFC 4303 §3.4.3)."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["WINDOW", "ReplayWindow"]

#: How far behind the newest number another may come.
WINDOW: Final = 1024


class ReplayWindow(msgspec.Struct, frozen=True):
    """Which of the newest numbers were taken.

    Parameters
    ----------
    newest : int
        The largest so far; -1 before any.
    seen : int
        Bit k stands for the number ``newest - k``.

    Examples
    --------
    >>> window = ReplayWindow()
    >>> for number in (0, 2, 1, 1):
    ...     window, fresh = window.take(number)
    ...     print(fresh)
    True
    True
    True
    False
    """

    newest: int = -1
    seen: int = 0

    def take(self, number: int) -> tuple[ReplayWindow, bool]:
        """Take a number; False, and nothing changed, when it was taken before or is too old to tell."""
        ahead = number - self.newest
        if ahead > 0:
            kept = (self.seen << min(ahead, WINDOW)) & ((1 << WINDOW) - 1)
            return ReplayWindow(number, kept | 1), True
        bit = 1 << -ahead
        if number < 0 or -ahead >= WINDOW or self.seen & bit:
            return self, False
        return ReplayWindow(self.newest, self.seen | bit), True
