"""An upstream, a collection of proxies, the API: all on real sockets, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from rtlab.faults.client.fault_client import FaultClient
from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.proxy.proxy_collection import Collection
from rtlab.faults.toxiproxy_http_api import make_app

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def eventually(condition: Callable[[], object], timeout: float = 20.0) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
async def no_leaked_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await eventually(lambda: not (asyncio.all_tasks() - before - {asyncio.current_task()}))


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """Address of a server that sends everything back."""
    writers: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in writers:
        writer.transport.abort()


@pytest.fixture
async def collection() -> AsyncIterator[Collection]:
    collection = Collection()
    yield collection
    await collection.close()


@pytest.fixture
async def proxy(collection: Collection, echo: str) -> Proxy:
    return await collection.create({"name": "p", "upstream": echo})


@pytest.fixture
async def dial(proxy: Proxy) -> AsyncIterator[Callable[[], Awaitable[Streams]]]:
    """Open a connection through the proxy; all are closed at the end."""
    opened: list[asyncio.StreamWriter] = []

    async def dial() -> Streams:
        host, port = proxy.listen.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        opened.append(writer)
        return reader, writer

    yield dial
    for writer in opened:
        writer.transport.abort()


@pytest.fixture
async def api(collection: Collection) -> AsyncIterator[str]:
    """Base URL of the API, without a token."""
    runner = web.AppRunner(make_app(collection), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def faults(api: str, echo: str) -> AsyncIterator[FaultClient]:
    host, port = echo.split(":")
    async with FaultClient(api, None, host, int(port)) as client:
        yield client
