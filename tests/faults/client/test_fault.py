"""A fault in a block: undone at its end, and when its beginning was interrupted."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.faults.client.fault import Fault


class Proxy:
    """Obeys at once, and answers only when the gate is open."""

    def __init__(self) -> None:
        self.spoilt = 0
        self.gate = asyncio.Event()

    def fault(self) -> Fault:
        async def begin() -> None:
            self.spoilt += 1
            await self.gate.wait()

        async def end() -> None:
            self.spoilt = 0

        return Fault("spoilt", begin, end)


async def test_a_block_undoes_it() -> None:
    proxy = Proxy()
    proxy.gate.set()
    async with proxy.fault() as fault:
        assert (proxy.spoilt, fault.active) == (1, True)
    assert (proxy.spoilt, fault.active) == (0, False)


async def test_an_interrupt_before_the_answer_leaves_nothing_behind() -> None:
    proxy = Proxy()

    async def hold() -> None:
        async with proxy.fault():
            pytest.fail("the block must not begin")

    task = asyncio.create_task(hold())
    while not proxy.spoilt:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert proxy.spoilt == 0
