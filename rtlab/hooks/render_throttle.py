"""One render a frame, however many messages came: what asks within a frame is served together at its end.

The browser's own counterpart is ``requestAnimationFrame``.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from contextlib import AbstractContextManager, ExitStack
from typing import Final, Protocol

from rtlab.errors import InvalidState, describe

__all__ = ["FRAME", "FrameClock", "Rendered", "frame_clock", "home_loop"]

#: Seconds of a frame: sixty renders a second at most.
FRAME: Final = 1 / 60

_log: Final = logging.getLogger("rtlab")
_CLOCKS: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, FrameClock]] = weakref.WeakKeyDictionary()
_main_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None


class Rendered(Protocol):
    """What a frame clock renders: a component's state.

    Attributes
    ----------
    tree : context manager
        Collects the renders of one component tree into one, while it is entered.
    """

    @property
    def tree(self) -> AbstractContextManager[object]: ...

    def render(self) -> object:
        """Render the component."""
        ...


def home_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that connections run on: the main thread's.

    JupyterLab may deliver a click over a subshell, on another thread with a loop that soon ends.

    Raises
    ------
    InvalidState
        Where no loop runs.
    """
    global _main_loop
    known = _main_loop() if _main_loop is not None else None
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if threading.current_thread() is threading.main_thread() and running is not None:
        if running is not known:
            _main_loop = weakref.ref(running)
        return running
    if known is not None and not known.is_closed() and known.is_running():
        return known
    if running is None:
        raise InvalidState(
            "a running event loop for the hook's connection",
            "none",
            "render the component in a notebook cell, or inside asyncio.run()",
        )
    return running


class FrameClock:
    """Renders components at most once a frame, those of one tree together.

    Parameters
    ----------
    interval : float
        Seconds of a frame. The one timer runs only while somebody waits.
    """

    def __init__(self, interval: float = FRAME) -> None:
        self.frames = 0
        self._interval = interval
        self._waiting: dict[Rendered, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def ask(self, one: Rendered) -> None:
        """Render `one` at the end of this frame; on the clock's own loop only."""
        self._waiting[one] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._due), self._frame)

    def forget(self, one: Rendered) -> None:
        """Do not render it any more."""
        self._waiting.pop(one, None)

    def _frame(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._timer = None
        waiting, self._waiting = self._waiting, {}
        self.frames += 1
        with ExitStack() as trees:
            entered: set[int] = set()
            for one in waiting:
                if id(one.tree) not in entered:
                    entered.add(id(one.tree))
                    trees.enter_context(one.tree)
            for one in waiting:
                try:
                    one.render()
                except Exception as error:
                    _log.warning("a render raised %s", describe(error))
        ended = loop.time()
        # A slow render leaves messages as much of the loop's time as it takes itself.
        self._due = ended + max(self._interval - (ended - began), ended - began)


def frame_clock(loop: asyncio.AbstractEventLoop) -> FrameClock:
    """Return the loop's frame clock."""
    clock = _CLOCKS.get(loop)
    if clock is None:
        clock = _CLOCKS[loop] = FrameClock()
    return clock
