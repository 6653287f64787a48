"""Handles a browser's message on the event loop on which the lab runs.

JupyterLab may deliver the message in a subshell: on another thread, with another event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopCallback"]


class LoopCallback:
    """Calls functions on the event loop that was running when this object was made.

    If no loop was running, or the loop is closed, it calls them at once.

    Examples
    --------
    >>> LoopCallback()(print, "no loop, so here and now")
    no loop, so here and now
    """

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def __call__(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function(*args)`` on that loop, soon."""
        if self._loop is None or self._loop.is_closed():
            function(*args)
        else:
            self._loop.call_soon_threadsafe(function, *args)
