"""The wait that ends with Stop, with the time, or with the work that broke."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.widgets.stop_button_wait import wait_until_stopped


async def test_stop_the_time_and_broken_work_each_end_the_wait() -> None:
    stopped = asyncio.Event()
    assert not await wait_until_stopped(stopped, 0.001)
    work = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(work.set_exception, RuntimeError("the connection was lost"))
    with pytest.raises(RuntimeError, match="was lost"):
        await wait_until_stopped(stopped, 600, work)
    asyncio.get_running_loop().call_soon(stopped.set)
    assert await wait_until_stopped(stopped, 600)
    assert len(asyncio.all_tasks()) == 1
