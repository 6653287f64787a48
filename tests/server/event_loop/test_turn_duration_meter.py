from __future__ import annotations

import asyncio
import time

import pytest

from rtlab.server.event_loop.turn_duration_meter import RECENT_SECONDS, TurnMeter


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
