from __future__ import annotations

import asyncio
import math
import os
import re
import sys
import threading

import pytest

from rtlab.bench.suites.mock import hour_of_reconnects
from rtlab.errors import RtlabError
from rtlab.testing.fake_clock import ClockStuck, FakeClock
from rtlab.testing.mock.mock_script_steps import PeerScript


def test_time_passes_only_when_everybody_waits():
    clock, seen = FakeClock(), []

    async def late(name, seconds):
        await asyncio.sleep(seconds)
        seen.append((name, clock()))

    async def main():
        await asyncio.gather(late("b", 7200), late("a", 0.25))

    clock.run(main())
    assert seen == [("a", 0.25), ("b", 7200.0)]
    assert clock.now == 7200.0


def test_it_goes_on_where_it_stood():
    clock = FakeClock(start=100)
    clock.run(asyncio.sleep(1))
    clock.run(asyncio.sleep(1))
    assert clock.now == 102


def test_a_timeout_holds_to_the_last_bit():
    clock = FakeClock()

    async def main():
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        clock.run(main())
    assert clock.now == 3600


def test_a_wait_for_nothing_is_an_error_and_no_hang():
    async def forgotten():
        await asyncio.Event().wait()

    with pytest.raises(ClockStuck) as caught:
        FakeClock().run(forgotten())
    line = forgotten.__code__.co_firstlineno + 1
    waits = rf"and 1 task still waits: forgotten:{line} → Event\.wait:\d+\. Give .*timeout"
    assert re.search(waits, str(caught.value))


@pytest.mark.parametrize("seconds", [math.inf, 1e300, sys.maxsize])
def test_a_timer_that_never_fires_keeps_no_stuck_wait_alive(seconds: float):
    async def timed():
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()

    async def fine():
        asyncio.get_running_loop().call_later(seconds, pytest.fail).cancel()
        async with asyncio.timeout(seconds):
            return await asyncio.sleep(1, "done")

    assert FakeClock().run(fine()) == "done"
    for work in (asyncio.sleep(seconds), timed()):
        with pytest.raises(ClockStuck):
            FakeClock().run(work)


def test_it_takes_descriptors_of_any_number():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("the system allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    files = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while files[-1] < 1024:
            files.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(ClockStuck):
            FakeClock().run(asyncio.Event().wait())
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_inside_a_running_loop_it_says_what_to_write():
    async def main():
        FakeClock().run(asyncio.sleep(1))

    with pytest.raises(RtlabError, match=r"expected no running event loop, got one: .*`def test_"):
        asyncio.run(main())


def test_a_call_from_another_thread_wakes_it():
    async def main():
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(called.set))
        thread.start()
        thread.join()
        await called.wait()
        return loop.time()

    assert FakeClock().run(main()) == 0


def test_an_hour_of_reconnects_is_the_same_each_time():
    first = hour_of_reconnects(PeerScript().refuse())
    assert len(first) > 200
    assert all(hour_of_reconnects(PeerScript().refuse()) == first for _ in range(19))


def test_an_hour_of_restarts_is_the_same_each_time():
    first = hour_of_reconnects(PeerScript().pause(60).close(1012))
    assert {name for name, _, _ in first} == {"connected", "disconnected", "reconnecting"}
    assert hour_of_reconnects(PeerScript().pause(60).close(1012)) == first
