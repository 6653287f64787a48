"""Bare loops against a real server that is killed, and comes back with a limit of handshakes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from websockets.exceptions import WebSocketException

from rtlab.errors import ConnectFailed, LabError
from rtlab.experiments.reconnect.herd_of_plain_loops import Dial, loop_herd
from rtlab.experiments.reconnect.herd_result import HerdRun
from rtlab.lab.lab import Lab

pytestmark = pytest.mark.calm


Loop = Callable[[Dial], Awaitable[None]]


async def storm(loop: Loop, duration: float = 6.0, rate: float = 0.0, queue: int = 1) -> HerdRun:
    async with Lab() as lab:
        return await loop_herd(
            loop,
            lab.ws_url,
            kill=lab.kill,
            restart=partial(lab.restart, handshake_rate=rate, handshake_queue=queue),
            capacity=rate or 1000.0,
            clients=40,
            outage=0.3,
            duration=duration,
        )


def every(seconds: float, attempts: int) -> Loop:
    async def loop(dial: Dial) -> None:
        for _ in range(attempts):
            with contextlib.suppress(OSError, WebSocketException):
                await (await dial()).wait_closed()
            await asyncio.sleep(seconds)

    return loop


async def test_a_limit_of_handshakes_makes_the_storm():
    before = asyncio.all_tasks()
    run = await storm(every(0.5, 100), rate=20.0, queue=4)
    assert run.all_in is not None
    assert run.accepted.sum() == 40
    assert run.refused == run.attempts.sum() - 40 > 40
    assert run.all_in - run.outage > 0.9 * (40 - 4) / 20
    assert asyncio.all_tasks() == before


async def test_who_returns_has_given_up():
    run = await storm(every(0.05, 4), duration=3.0, rate=1.0)
    assert run.gave_up + run.accepted.sum() == 40
    assert run.gave_up >= 35
    assert run.all_in is None


async def test_a_loop_that_fails_is_no_result():
    async def dies(dial: Dial) -> None:
        await (await dial()).wait_closed()
        raise LookupError("a bug")

    with pytest.raises(LabError, match="LookupError"):
        await storm(dies, duration=2.0)


async def test_a_herd_that_cannot_gather_says_so():
    async def unused() -> None: ...

    with pytest.raises(ConnectFailed, match="0 of 3"):
        await loop_herd(
            every(0.01, 1), "ws://127.0.0.1:1/ws", kill=lambda: None, restart=unused, capacity=1.0, clients=3
        )
