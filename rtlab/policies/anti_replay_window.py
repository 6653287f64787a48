"""An anti-replay window: accepts each number once, even out of order (RFC 4303 §3.4.3)."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["WINDOW", "ReplayWindow"]

#: The size of the window: a number is too old when it is this far behind the newest one.
WINDOW: Final = 1024


class ReplayWindow(msgspec.Struct, frozen=True):
    """Which of the newest numbers were accepted.

    Parameters
    ----------
    newest : int
        The largest accepted number; -1 before the first.
    seen : int
        A bit set: bit k tells whether the number ``newest - k`` was accepted.

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
        """Accept a number; return False and no change if it was accepted before or is too old to tell."""
        ahead = number - self.newest
        if ahead > 0:
            kept = (self.seen << min(ahead, WINDOW)) & ((1 << WINDOW) - 1)
            return ReplayWindow(number, kept | 1), True
        # Too old comes first: a bit of a number that is far behind would need as many bits of memory.
        if number < 0 or -ahead >= WINDOW or self.seen & (bit := 1 << -ahead):
            return self, False
        return ReplayWindow(self.newest, self.seen | bit), True
