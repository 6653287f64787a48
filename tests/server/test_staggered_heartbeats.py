from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from rtlab.server.staggered_heartbeats import Heartbeats


class Quiet:
    """A connection that notes when it has its heartbeats, on a clock that the test drives."""

    transport = "websocket"

    def __init__(self, now: list[float]) -> None:
        self.now = now
        self.beats: list[float] = []

    def heartbeat(self) -> None:
        self.beats.append(self.now[0])


def driven(interval: float, sinks: dict[Any, None], now: list[float]) -> Heartbeats:
    return Heartbeats(interval, sinks, lambda: now[0])


async def play(beats: Heartbeats, now: list[float], seconds: float, step: float = 0.01) -> None:
    for _ in range(round(seconds / step)):
        now[0] += step
        beats._beat()


async def test_those_that_come_together_have_it_one_after_the_other_and_each_in_its_interval() -> None:
    now = [100.0]
    sinks: dict[Any, None] = {Quiet(now): None for _ in range(1000)}
    beats = driven(15.0, sinks, now)
    for sink in sinks:
        beats.add(sink)
    await play(beats, now, 45.0)
    beats.stop()
    at_once = Counter(round(beat, 2) for sink in sinks for beat in sink.beats)
    assert max(at_once.values()) <= 4  # 1000 over the 750 steps of half an interval
    for sink in sinks:
        assert 7.5 <= sink.beats[0] - 100 <= 15.02
        assert len(sink.beats) == 3
        assert all(15 - 0.02 <= b - a <= 15 + 0.02 for a, b in pairwise(sink.beats))


async def test_after_a_stall_each_goes_on_at_its_phase_and_catches_up_on_nothing() -> None:
    now = [0.0]
    sink: Any = Quiet(now)
    beats = driven(1.0, {sink: None}, now)
    beats.add(sink)
    await play(beats, now, 2.5)
    phase = sink.beats[-1] % 1
    now[0] += 10.5
    await play(beats, now, 2.0)
    beats.stop()
    late, *after = sink.beats[2:]
    assert late > 10
    assert [beat % 1 for beat in after] == [pytest.approx(phase, abs=0.02)] * len(after)
    assert len(after) == 2


async def test_one_that_has_gone_is_forgotten_and_one_that_fails_takes_no_others() -> None:
    now = [0.0]

    class Fails(Quiet):
        def heartbeat(self) -> None:
            raise RuntimeError("a bug")

    sinks: dict[Any, None] = {Fails(now): None, Quiet(now): None, Quiet(now): None}
    beats = driven(1.0, sinks, now)
    for sink in sinks:
        beats.add(sink)
    _, stays, goes = sinks
    del sinks[goes]
    await play(beats, now, 3.0)
    beats.stop()
    assert len(stays.beats) == 3
    assert goes.beats == []
    reference = weakref.ref(goes)
    del goes, sink
    gc.collect()
    assert reference() is None


async def test_it_keeps_its_times_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()

    class Timed(Quiet):
        def heartbeat(self) -> None:
            self.beats.append(loop.time())

    sinks: dict[Any, None] = {Timed([]): None for _ in range(20)}
    beats = Heartbeats(0.2, sinks, loop.time)
    began = loop.time()
    for sink in sinks:
        beats.add(sink)
    while min(len(sink.beats) for sink in sinks) < 3 and loop.time() < began + 20:
        await asyncio.sleep(0.01)
    beats.stop()
    seen = {sink: [beat - began for beat in sink.beats] for sink in sinks}
    # Late by what the machine is late, but never early.
    assert all(b - a > 0 for times in seen.values() for a, b in pairwise(times))
    assert all(times[k] >= 0.2 * k for times in seen.values() for k in range(3))
    settled = [len(times) for times in seen.values()]
    await asyncio.sleep(0.3)
    assert [len(sink.beats) for sink in sinks] == settled  # stopped


async def test_a_poll_has_none_and_no_interval_sends_none() -> None:
    now = [0.0]
    poll: Any = Quiet(now)
    poll.transport = "longpoll"
    plain: Any = Quiet(now)
    for sink, interval in ((poll, 1.0), (plain, None)):
        beats = Heartbeats(interval, {sink: None}, lambda: now[0])
        beats.add(sink)
        assert beats._due == []
        assert beats._timer is None


async def test_a_connection_that_has_ended_is_held_no_longer() -> None:
    now = [100.0]
    sink = Quiet(now)
    sinks: dict[Any, None] = {sink: None}
    beats = driven(3600.0, sinks, now)
    beats.add(sink)
    gone = weakref.ref(sink)
    sinks.clear()
    del sink
    assert gone() is None
    beats.stop()
