"""At most one render per frame, however many messages arrive: requests within a frame are served together.

In a browser, ``requestAnimationFrame`` does this.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Final, Protocol

from rtlab.client.user_callback_errors import call
from rtlab.errors import InvalidState, describe

__all__ = ["FRAME", "FrameClock", "Rendered", "frame_clock", "home_loop"]

#: Length of a frame in seconds: at most sixty renders a second.
FRAME: Final = 1 / 60

_log: Final = logging.getLogger("rtlab")
_CLOCKS: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, FrameClock]] = weakref.WeakKeyDictionary()
_main_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None


class Rendered(Protocol):
    """Something that a frame clock renders: a component's `Subscription` or `Watcher`.

    Attributes
    ----------
    tree : context manager
        Reacton's render context. While it is entered, all renders of one component tree become one.
    """

    @property
    def tree(self) -> AbstractContextManager[object]: ...

    def render(self) -> object:
        """Render the component."""
        ...


def home_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that connections run on: the main thread's, or else the running one.

    JupyterLab may run a click handler in a subshell: on another thread, whose event loop soon ends and would
    take the connection with it.

    Raises
    ------
    InvalidState
        If no event loop is running.
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
    """Renders components at most once per frame, and all waiting components of one tree together.

    Parameters
    ----------
    interval : float
        Length of a frame in seconds. The timer runs only while a component waits to be rendered.
    loop : asyncio.AbstractEventLoop, optional
        The event loop that the components render on; None: the one that runs when `ask` is called.
    """

    def __init__(self, interval: float = FRAME, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.frames = 0
        self._interval = interval
        # Weak: `_CLOCKS` drops a clock when its loop is dropped, so the clock must not keep the loop.
        self._loop = None if loop is None else weakref.ref(loop)
        self._waiting: dict[Rendered, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def ask(self, one: Rendered) -> None:
        """Render `one` with the next frame. With a loop of its own, the clock may be asked on any thread."""
        self._waiting[one] = None
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        home = here if self._loop is None else self._loop()
        if here is home:
            self._start()
        elif home is not None and not home.is_closed():  # a click in a subshell of JupyterLab
            home.call_soon_threadsafe(self._start)

    def forget(self, one: Rendered) -> None:
        """Cancel the pending render of `one`, if there is one; on any thread."""
        self._waiting.pop(one, None)

    def _start(self) -> None:
        if self._timer is None and self._waiting:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._due), self._frame)

    def _frame(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._timer = None
        waiting = [*self._waiting]
        for one in waiting:  # one by one: another thread may ask meanwhile, and its request must stay
            self._waiting.pop(one, None)
        self.frames += 1
        with ExitStack() as ends:
            for tree in {id(one.tree): one.tree for one in waiting}.values():
                tree.__enter__()
                ends.callback(_render, partial(tree.__exit__, None, None, None))  # renders the tree
            for one in waiting:
                _render(one.render)
        ended = loop.time()
        # After a slow render, the loop has at least as much time for messages as the render took.
        self._due = ended + max(self._interval - (ended - began), ended - began)


def _render(function: Callable[[], object]) -> None:
    """Run a user's render; one that raises takes no frame from the others."""
    _, error = call(function)
    if error is not None:
        _log.warning("a render raised %s", describe(error))


def frame_clock(loop: asyncio.AbstractEventLoop) -> FrameClock:
    """Return the frame clock of this event loop; each loop has one."""
    clock = _CLOCKS.get(loop)
    if clock is None:
        clock = _CLOCKS[loop] = FrameClock(loop=loop)
    return clock
