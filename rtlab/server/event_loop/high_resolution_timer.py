"""Waits until a feed's next message is due, with a timer finer than a millisecond where there is one.

An event loop hands its earliest deadline to ``epoll_wait``, or libuv's timer heap, in
whole milliseconds, rounded up: a feed that waits with the loop's own timers sends each
message 0.5 ms late in the median, which is more than a push over loopback takes. On
Linux a ``timerfd`` (timerfd_create(2)) is a file descriptor that becomes readable at an
absolute time in nanoseconds, so the loop sleeps until then and no core spins.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Final, Protocol

__all__ = ["LoopTimer", "SendTimer", "TimerFd", "TimerUnavailable", "open_timer", "timer_kind"]

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1


class TimerUnavailable(OSError):
    """This system offers no ``timerfd``."""


class SendTimer(Protocol):
    """Waits until given times of one clock."""

    async def until(self, when: float) -> None:
        """Return at `when`, in seconds of the clock, or shortly before or after."""
        ...

    def close(self) -> None:
        """Release the timer's resources."""
        ...


class LoopTimer:
    """Waits with the event loop's own timers, to the next whole millisecond.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    __slots__ = ("_clock",)

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def until(self, when: float) -> None:
        """Return at `when` or up to a millisecond before or after."""
        # A loop rounds 0.3 ms down to 0, so the caller would come back in every turn until `when`.
        await asyncio.sleep(max(when - self._clock(), 0.001))

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerFd:
    """Waits until given times of ``time.monotonic``, with a Linux ``timerfd``.

    Raises
    ------
    TimerUnavailable
        Where the system call does not exist, or no descriptor is left.
    """

    __slots__ = ("_due", "_fd", "_libc", "_loop")

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise TimerUnavailable("timerfd exists on Linux alone")
        self._loop = asyncio.get_running_loop()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._due: asyncio.Future[None] | None = None
        if not hasattr(self._libc, "timerfd_create"):
            raise TimerUnavailable("this C library has no timerfd_create")
        # TFD_NONBLOCK and TFD_CLOEXEC are O_NONBLOCK and O_CLOEXEC (timerfd_create(2)).
        self._fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            error = ctypes.get_errno()
            raise TimerUnavailable(error, os.strerror(error))
        self._loop.add_reader(self._fd, self._fire)

    async def until(self, when: float) -> None:
        """Return when `when` has come, on the clock ``time.monotonic``."""
        due = self._due = self._loop.create_future()
        nanoseconds = max(1, round(when * 1e9))  # 0 would disarm it
        spec = _Itimerspec(_Timespec(), _Timespec(*divmod(nanoseconds, 1_000_000_000)))
        if self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        await due

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # armed anew since it became readable
        if self._due is not None and not self._due.done():
            self._due.set_result(None)


def open_timer(clock: Callable[[], float]) -> SendTimer:
    """Return the finest timer that this system has for a clock.

    Parameters
    ----------
    clock : callable
        Returns seconds. ``time.monotonic`` gets a `TimerFd` on Linux, anything else a `LoopTimer`.

    Returns
    -------
    SendTimer
        A timer on the running loop, which the caller must close.
    """
    if clock is time.monotonic:
        try:
            return TimerFd()
        except TimerUnavailable:
            pass
    return LoopTimer(clock)


@cache
def timer_kind() -> str:
    """Return ``"timerfd"``, or ``"loop"`` where feeds wait with the loop's timers, in whole milliseconds."""
    has_it = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "timerfd_create")
    return "timerfd" if has_it else "loop"
