"""Time that passes only when all tasks wait: an hour of timers takes a few milliseconds."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar

from rtlab.errors import RtlabError

__all__ = ["ClockStuck", "FakeClock", "loop_time"]

T = TypeVar("T")

#: Shortest delay of a timer, in seconds: a shorter one above 0 is rounded up to it.
TICK: Final = 1e-6
#: A timer further ahead than this, in seconds, never fires, as an infinite one: 300 years are for ever. The
#: loop waits at most a day at a time, so it would get there only after very many turns, or not at all.
NEVER: Final = 1e10
#: How many waiting tasks `ClockStuck` names at most.
_NAMED: Final = 5


class ClockStuck(RtlabError):
    """All tasks wait, and no timer is set: with a real clock, this would hang for ever."""


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's selector loop, which moves its clock ahead instead of sleeping in `select`."""

    def __init__(self, start: float) -> None:
        selector = _Selector(self._skip)
        super().__init__(selector)
        self._now = start

    def time(self) -> float:
        return self._now

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        # A delay too small to change the sum would be due at the same time again: code that waits for a
        # point in time would spin for ever.
        if delay > 0:
            delay = max(delay, TICK)
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if when - self._now > NEVER:  # not scheduled, so that it keeps no stuck wait alive
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def _skip(self, timeout: float | None) -> None:
        if timeout is None:
            tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
            waits = ", ".join(sorted(map(_place_of, tasks))[:_NAMED]) + ", …" * (len(tasks) > _NAMED)
            who = "1 task still waits" if len(tasks) == 1 else f"{len(tasks)} tasks still wait"
            raise ClockStuck(
                f"nothing is due any more, and {who}: {waits}. Give the wait a timeout, or let the peer "
                "answer. Real sockets, threads and children do not run on a FakeClock"
            )
        self._now += timeout


def _place_of(task: asyncio.Task[Any]) -> str:
    """Say where a task waits: its coroutines with their lines, the innermost last."""
    places: list[str] = []
    coroutine: Any = task.get_coro()
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        places.append(f"{coroutine.__qualname__.rpartition('<locals>.')[2]}:{frame.f_lineno}")
        coroutine = coroutine.cr_await
    return " → ".join(places) or task.get_name()


class _Selector(selectors.DefaultSelector):  # `select` itself takes no descriptor from 1024 on
    def __init__(self, skip: Callable[[float | None], None]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # No system call if only timers wait: the one descriptor is then the loop's own self-pipe.
        if timeout is not None and (timeout <= 0 or len(self.get_map()) <= 1):
            if timeout > 0:
                self._skip(timeout)
            return []
        ready = super().select(0)
        if not ready:
            self._skip(timeout)
        return ready


class FakeClock:
    """Runs coroutines on an event loop of its own, where waiting takes no time.

    Whenever all tasks wait, the clock jumps to the next timer. The delays of `asyncio.sleep`,
    `asyncio.timeout` and ``call_later`` are exact, on any machine.

    Parameters
    ----------
    start : float
        The clock's initial time, in seconds.

    Notes
    -----
    Works only for code in memory: real sockets, threads and child processes do not run on it. ``looptime``
    does the same for whole tests of an existing suite; here the clock is an object, so that one test can
    use several, and a wait for something that cannot come is an error instead of a hang. So is a wait that
    nothing but a timer more than 300 years ahead would end, such as ``asyncio.sleep(math.inf)``.

    Examples
    --------
    >>> import asyncio
    >>> clock = FakeClock()
    >>> clock.run(asyncio.sleep(3600, "an hour later"))
    'an hour later'
    >>> clock.now
    3600.0
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._loop: _Loop | None = None

    @property
    def now(self) -> float:
        """The clock's current time, in seconds."""
        return self._loop.time() if self._loop is not None else self._now

    def __call__(self) -> float:
        """Return `now`, so that the clock itself can be passed as ``clock=``."""
        return self.now

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, starting at the clock's current time.

        Parameters
        ----------
        work : coroutine
            The coroutine. Tasks that it leaves behind are cancelled.

        Returns
        -------
        object
            What the coroutine returned.

        Raises
        ------
        ClockStuck
            If the coroutine waits for something that cannot come.
        RtlabError
            If an event loop is running already, as in an async test, which has a real clock.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            work.close()
            raise RtlabError(
                "expected no running event loop, got one: a FakeClock brings its own, so write "
                "`def test_…():` and call clock.run(…) in it"
            )
        try:
            with asyncio.Runner(loop_factory=self._make_loop) as runner:
                return runner.run(work)
        finally:
            self._now, self._loop = self.now, None

    def _make_loop(self) -> _Loop:
        self._loop = _Loop(self._now)
        return self._loop


def loop_time() -> float:
    """Return the running event loop's time, or without a loop the system's monotonic clock, in seconds."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
