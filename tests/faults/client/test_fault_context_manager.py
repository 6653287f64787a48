"""A fault in a block: undone at its end, and when its beginning was interrupted."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.faults.client.fault_client import FaultClient
from rtlab.faults.client.fault_context_manager import Fault
from rtlab.faults.errors import FaultError


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


async def test_an_interrupt_at_the_end_of_a_block_does_not_stop_the_undoing() -> None:
    spoilt = ["http_status"]
    asked, answer = asyncio.Event(), asyncio.Event()

    async def begin() -> None:
        pass

    async def end() -> None:
        asked.set()
        await answer.wait()
        spoilt.clear()

    async def hold() -> None:
        async with Fault("spoilt", begin, end):
            pass

    task = asyncio.create_task(hold())
    await asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()  # it waits for what it has asked
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert spoilt == []


async def test_an_answer_that_does_not_come_in_time_leaves_nothing_behind() -> None:
    spoilt: list[str] = []

    async def begin() -> None:
        spoilt.append("rtt_upstream")
        raise FaultError("the fault proxy does not answer (ReadTimeout)", 503)

    async def end() -> None:
        spoilt.clear()

    with pytest.raises(FaultError, match="ReadTimeout"):
        async with Fault("rtt", begin, end):
            pytest.fail("the block must not begin")
    assert spoilt == []


async def test_an_interrupt_while_a_proxy_is_made_removes_it() -> None:
    asked: list[bytes] = []
    populated = asyncio.Event()

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" HTTP/")[0])
        if asked[-1].startswith(b"DELETE"):
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            populated.set()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(api, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        proxy = FaultClient(f"http://127.0.0.1:{port}", None, "127.0.0.1", 9, name="mine")
        task = asyncio.create_task(proxy.start())
        await populated.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert asked == [b"POST /populate", b"DELETE /proxies/mine"]
