"""A client that cancels what waits for it: the link is lost, and the task that waited goes on."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.server.brokers.carrier_by_broker_url import driver_for
from rtlab.server.brokers.carrying.carrier_interface import LinkLost
from rtlab.server.brokers.carrying.driver_cancellation import driver_call
from tests.server.brokers.bench import Bench, numbered


async def cancelled_by_the_client() -> None:
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answer.get_loop().call_soon(answer.cancel)
    await answer


@pytest.mark.parametrize("call", ["attach", "send"])
async def test_a_cancelled_answer_is_a_lost_link_and_what_waited_is_done_on_the_next(call: str) -> None:
    async with Bench(
        lambda namespace, limits: driver_for(f"memory://cancels-{call}", namespace, limits)
    ) as bench:
        link, gave_up = bench.b.link, []
        right = getattr(link, call)

        async def once(*args):
            if not gave_up:
                gave_up.append(call)
                await cancelled_by_the_client()
            return await right(*args)

        setattr(link, call, once)
        listener = await bench.listen(bench.b, "room")  # of a cancelled attach, the next link's is the answer
        if call == "send":
            with pytest.raises(LinkLost, match="may have been published"):
                await bench.b.carrier.publish("room", b"lost")
        await bench.publish(bench.b, "room", numbered(1))
        await listener.until(lambda: bool(listener.bodies))
        assert (listener.bodies, gave_up) == (numbered(1), [call])


async def test_a_task_that_is_cancelled_is_cancelled() -> None:
    async def wait() -> None:
        with driver_call():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_limit_stays_one() -> None:
    async def limited() -> None:
        async with asyncio.timeout(0.01):
            with driver_call():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await limited()
