from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from rtlab.errors import RtlabError
from rtlab.testing.fake_clock import ClockStuck, FakeClock
from rtlab.testing.mock_transport import mock_connection
from rtlab.testing.peer_script import PeerScript
from rtlab.testing.scripted_peer import ScriptedPeer


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

    with pytest.raises(ClockStuck, match=r"nothing is due any more, and 1 tasks still wait: .*timeout"):
        FakeClock().run(forgotten())


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


def hour(script: PeerScript) -> list[tuple[str, float, object]]:
    """Let one connection live through an hour, and return its events with their times."""

    async def main():
        seen = []
        peer = ScriptedPeer(script)
        conn = mock_connection(peer, rng=np.random.default_rng(12), retry_initial=True)
        for name in ("connected", "disconnected", "reconnecting"):
            conn.on(name, lambda event, name=name: seen.append((name, event.at, event)))
        opening = asyncio.create_task(conn.connect())
        await asyncio.sleep(3600)
        await conn.close()
        await asyncio.gather(opening, return_exceptions=True)
        return seen

    return FakeClock().run(main())


def test_an_hour_of_reconnects_is_the_same_each_time():
    first = hour(PeerScript().refuse())
    assert len(first) > 200
    assert all(hour(PeerScript().refuse()) == first for _ in range(19))


def test_an_hour_of_restarts_is_the_same_each_time():
    first = hour(PeerScript().pause(60).close(1012))
    assert {name for name, _, _ in first} == {"connected", "disconnected", "reconnecting"}
    assert hour(PeerScript().pause(60).close(1012)) == first
