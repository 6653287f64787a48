"""Announces presence after a short wait: arrivals and departures within a moment are announced together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Announcer"]

#: Seconds within which arrivals and departures are announced together.
PRESENCE_DELAY: Final = 0.02


class Announcer:
    """Announces who is in the rooms, a moment after presence has changed.

    Parameters
    ----------
    announce : callable
        Sends the announcements to the rooms.
    """

    def __init__(self, announce: Callable[[], object]) -> None:
        self._announce = announce
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Note that presence has changed in some room."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PRESENCE_DELAY, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._announce()

    def stop(self) -> None:
        """Announce nothing more."""
        if self._timer is not None:
            self._timer.cancel()
