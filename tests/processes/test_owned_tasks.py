"""What runs together ends together."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.processes.owned_tasks import SingleFlight, together, until_stopped
from tests.memory import turns


async def test_a_flight_is_shared_and_goes_on_without_a_caller_that_is_cancelled():
    flight, go_on, runs = SingleFlight(), asyncio.Event(), []

    async def work() -> None:
        runs.append(1)
        await go_on.wait()
        raise LookupError("told to all")

    await flight.ended()
    callers = [asyncio.create_task(flight.run(work)) for _ in range(3)]
    waiter = asyncio.create_task(flight.ended())
    await turns()
    callers[0].cancel()
    await turns()
    assert [caller.done() for caller in (*callers, waiter)] == [True, False, False, False]
    go_on.set()
    outcomes = await asyncio.gather(*callers, waiter, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        asyncio.CancelledError,
        LookupError,
        LookupError,
        type(None),
    ]
    with pytest.raises(LookupError):  # the next caller starts anew
        await flight.run(work)
    assert len(runs) == 2


async def test_when_one_fails_the_others_have_ended_before_its_own_error_is_raised():
    ended: list[str] = []

    async def one() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)  # what it has to take down
            ended.append("other")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("run the cell again")

    with pytest.raises(LookupError, match="run the cell again") as raised:
        await together(one(), fails())
    assert raised.value.__context__ is None  # a group that holds it is a circle: IPython cannot show it
    assert ended == ["other"]


async def test_they_return_in_their_order():
    assert await together(asyncio.sleep(0.01, 1), asyncio.sleep(0, 2)) == [1, 2]


async def test_a_run_that_the_reader_stops_has_ended_and_returns_nothing():
    stopped, ended = asyncio.Event(), asyncio.Event()

    async def run() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.set()
        return "whole"

    asyncio.get_running_loop().call_soon(stopped.set)
    assert await until_stopped(run(), stopped) is None
    assert ended.is_set()
    assert await until_stopped(asyncio.sleep(0, "whole"), asyncio.Event()) == "whole"
    assert await until_stopped(asyncio.sleep(0, "whole"), None) == "whole"


async def test_an_interrupt_ends_the_run_too():
    ended = asyncio.Event()

    async def run() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    task = asyncio.create_task(until_stopped(run(), None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
