from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import closing

import pytest

from rtlab.server.event_loop import high_resolution_timer
from rtlab.server.event_loop.high_resolution_timer import (
    LoopTimer,
    TimerFd,
    TimerUnavailable,
    open_timer,
    timer_kind,
)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="timerfd exists on Linux alone")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@linux
async def test_it_waits_for_fractions_of_a_millisecond_and_is_never_early():
    with closing(open_timer(time.monotonic)) as timer:
        assert isinstance(timer, TimerFd)
        waits: list[float] = []
        for _ in range(50):
            began = time.monotonic()
            await asyncio.wait_for(timer.until(began + 0.0003), 5)
            waits.append(time.monotonic() - began)
    assert min(waits) >= 0.0003
    # The loop's own timer takes a millisecond at least: one shorter wait tells the two apart.
    assert min(waits) < 0.001


@linux
async def test_a_moment_that_has_passed_is_answered_at_once():
    with closing(TimerFd()) as timer:
        for when in (time.monotonic() - 5, 0.0, -1.0):
            await asyncio.wait_for(timer.until(when), 5)


@linux
async def test_a_cancelled_wait_leaves_a_timer_that_can_be_set_again():
    with closing(TimerFd()) as timer:
        task = asyncio.create_task(timer.until(time.monotonic() + 600))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(timer.until(time.monotonic() + 0.001), 5)


@linux
async def test_it_gives_its_descriptor_back():
    before = descriptors()
    for _ in range(3):
        with closing(TimerFd()) as timer:
            assert descriptors() == before + 1
            await asyncio.wait_for(timer.until(time.monotonic()), 5)
        timer.close()
    assert descriptors() == before


async def test_elsewhere_the_loop_waits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(high_resolution_timer.sys, "platform", "darwin")
    with pytest.raises(TimerUnavailable, match="Linux alone"):
        TimerFd()
    timer_kind.cache_clear()
    assert timer_kind() == "loop"
    timer_kind.cache_clear()
    with closing(open_timer(time.monotonic)) as timer:
        assert isinstance(timer, LoopTimer)
        began = time.monotonic()
        while time.monotonic() < began + 0.003:
            await asyncio.wait_for(timer.until(began + 0.003), 5)


@linux
async def test_without_a_descriptor_left_the_loop_waits(monkeypatch: pytest.MonkeyPatch):
    class Full:
        @staticmethod
        def timerfd_create(*_: int) -> int:
            return -1

    monkeypatch.setattr(high_resolution_timer.ctypes, "CDLL", lambda *_, **__: Full())
    with pytest.raises(TimerUnavailable):
        TimerFd()
    with closing(open_timer(time.monotonic)) as timer:
        assert isinstance(timer, LoopTimer)


@linux
async def test_another_clock_gets_the_loop_and_this_one_the_timerfd():
    with closing(open_timer(lambda: 0.0)) as timer:
        assert isinstance(timer, LoopTimer)
    assert timer_kind() == "timerfd"
