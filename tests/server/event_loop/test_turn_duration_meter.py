from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from rtlab.server.event_loop.turn_duration_meter import IDLE_AFTER, PERIOD, RECENT_SECONDS, TurnMeter
from rtlab.testing.fake_clock import FakeClock


def test_the_longest_turn_is_kept_and_the_recent_one_is_forgotten() -> None:
    now = [0.0]
    meter = TurnMeter(lambda: now[0])
    meter.note(0.2)
    meter.note(0.01)
    assert meter.report() == {"longest": 0.2, "longest_cpu": 0.0, "recent": 0.2, "over_50_ms": 1}
    now[0] += RECENT_SECONDS
    meter.note(0.03)
    assert meter.recent == 0.2
    now[0] += RECENT_SECONDS
    assert meter.recent == 0.03
    now[0] += 3 * RECENT_SECONDS
    assert meter.recent == 0.0
    assert meter.longest == 0.2


async def test_a_turn_that_blocks_is_seen() -> None:
    meter = TurnMeter()
    meter.start()
    await asyncio.sleep(0.02)
    time.sleep(0.1)  # noqa: ASYNC251 - the turn that is to be seen
    await asyncio.sleep(0.02)
    meter.stop()
    assert meter.longest > 0.08
    assert meter.long_turns >= 1


async def test_a_process_that_stands_still_inside_a_look_is_seen_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, looks = [0.0], 0
    meter = TurnMeter(lambda: now[0])
    note = meter.note

    def stopped_while_noting(seconds: float, cpu_seconds: float) -> None:
        nonlocal looks
        note(seconds, cpu_seconds)
        looks += 1
        now[0] += 0.2 if looks == 1 else 0.0

    monkeypatch.setattr(meter, "note", stopped_while_noting)
    meter.start()
    async with asyncio.timeout(20):
        while looks < 2:
            await asyncio.sleep(0.01)
    meter.stop()
    assert meter.longest == pytest.approx(0.19)


class _Idle:
    """A meter whose server does nothing, on a loop where waiting takes no time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.meter = TurnMeter(self.clock)
        self.looks: list[float] = []
        note = self.meter.note

        def noting(seconds: float, cpu_seconds: float = 0.0) -> None:
            self.looks.append(self.clock.now)
            note(seconds, 0.0)

        self.meter.note = noting  # type: ignore[method-assign]

    def run(self, what: Coroutine[Any, Any, None]) -> None:
        async def measured() -> None:
            self.meter.start()
            await what
            self.meter.stop()

        self.clock.run(measured())

    def looks_between(self, begin: float, end: float) -> int:
        return sum(begin < at <= end for at in self.looks)


def test_an_idle_server_is_measured_seldom_and_one_that_works_again_at_once() -> None:
    idle = _Idle()

    async def work_once() -> None:
        await asyncio.sleep(5.03)
        idle.meter.working(idle.clock.now)
        await asyncio.sleep(3)

    idle.run(work_once())
    assert idle.looks_between(0, IDLE_AFTER) == pytest.approx(100, abs=1)
    assert idle.looks_between(2, 5) == pytest.approx(30, abs=1)
    assert idle.looks_between(5.03, 6.03) == pytest.approx(100, abs=1)
    assert idle.looks_between(7, 8) == pytest.approx(10, abs=1)


def test_what_an_idle_server_does_not_measure_counts_as_on_time() -> None:
    idle = _Idle()
    idle.run(asyncio.sleep(10))
    assert len(idle.looks) < 200
    assert sum(idle.meter.lateness.counts) == pytest.approx(10 / PERIOD, rel=0.01)


@pytest.mark.parametrize("overdue", [False, True])
async def test_a_turn_that_blocks_an_idle_server_is_seen(
    monkeypatch: pytest.MonkeyPatch, overdue: bool
) -> None:
    """From where its work begins; where work begins only at its end, from when a measurement was due."""
    monkeypatch.setattr("rtlab.server.event_loop.turn_duration_meter.IDLE_AFTER", 0.02)
    monkeypatch.setattr("rtlab.server.event_loop.turn_duration_meter.IDLE_PERIOD", 0.05 if overdue else 20.0)
    meter = TurnMeter()
    meter.start()
    await asyncio.sleep(0.1)
    if overdue:
        time.sleep(0.15)  # noqa: ASYNC251 - the turn that is to be seen
    meter.working(time.monotonic())
    if not overdue:
        time.sleep(0.1)  # noqa: ASYNC251 - the turn that is to be seen
    await asyncio.sleep(0.02)
    meter.stop()
    assert meter.longest > 0.08
