from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from rtlab.capture.tcp_tap import ETHERNET_MSS, Flow, Tap

TIMEOUT = 10.0


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            while data := await reader.read(65_536):
                writer.write(data)
            writer.write(b"bye")
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*(task for task in serving if task), return_exceptions=True)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_every_byte_passes_unchanged_and_is_kept():
    data = bytes(range(256)) * 4096
    async with asyncio.timeout(TIMEOUT), echo_server() as url, Tap(url) as tap:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(tap.url))
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.write_eof()  # half-open: the farewell still comes
        assert await reader.read() == b"bye"
        writer.close()
        await writer.wait_closed()
        [connection] = tap.connections
        assert bytes(connection.up) == data
        assert bytes(connection.down) == data + b"bye"
        assert tap.flow(up=True).bytes == len(data)
        assert tap.flow(up=False).bytes == len(data) + 3
        assert sum(size for _, up, size in connection.chunks if up) == len(data)


async def test_what_is_kept_is_bounded_and_what_is_counted_is_not():
    async with asyncio.timeout(TIMEOUT), echo_server() as url, Tap(url, keep_bytes=100) as tap:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(tap.url))
        writer.write(b"x" * 1000)
        await reader.readexactly(1000)
        writer.close()
        assert len(tap.connections[0].up) == 100
        assert tap.flow(up=True).bytes == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counts are read from Linux's tcp_info")
async def test_the_kernel_counts_ethernet_segments():
    size = 20 * ETHERNET_MSS + 1
    async with asyncio.timeout(TIMEOUT), echo_server() as url, Tap(url) as tap:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(tap.url))
        writer.write(b"x" * size)
        await reader.readexactly(size)
        up = tap.flow(up=True)
        writer.close()
    assert up.kernel_segments is not None
    # 21 with data, SYN and ACK, and the acknowledgements of what came back.
    assert 23 <= up.kernel_segments <= 23 + 21
    assert up.segments >= 21


async def test_a_server_that_is_gone_ends_the_client():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with asyncio.timeout(TIMEOUT), Tap(url) as tap:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(tap.url))
            assert await reader.read() == b""
            writer.close()


async def test_closing_leaves_no_task_and_drops_the_clients():
    before = asyncio.all_tasks()
    async with asyncio.timeout(TIMEOUT), echo_server() as url:
        tap = Tap(url)
        async with tap:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(tap.url))
            writer.write(b"x")
            await reader.readexactly(1)
        assert await reader.read() == b""
        writer.close()
        assert {task for task in asyncio.all_tasks() if task.get_name() == "tap"} <= before


async def test_it_waits_for_bytes_and_for_silence():
    async with asyncio.timeout(TIMEOUT), echo_server() as url, Tap(url) as tap:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(tap.url))
        writer.write(b"12345")
        await tap.moved(5)
        with pytest.raises(TimeoutError):
            await tap.moved(6, timeout=0.05)
        await reader.readexactly(5)
        await tap.quiet(0.02)
        assert tap.flow(up=False) == tap.flow(up=False) + Flow()
        writer.close()


def test_flows_subtract_and_do_not_guess():
    assert Flow(10, 2, 2, 4) - Flow(4, 1, 1, 1) == Flow(6, 1, 1, 3)
    assert (Flow(10, 2, 2, None) - Flow()).kernel_segments is None
