"""The two ends of a raw TCP stream: ``python -m rtlab.bench.peers.raw_stream``.

Both ends use asyncio's streams, as the lab does. ``serve``, the far end, echoes
connections whose first byte is ``E``; it reads others to their end, and answers
with one byte. ``send PORT BYTES`` sends that many bytes, waits for the answer,
and prints the bytes per second.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator
from typing import Final

from rtlab.processes.descriptor_limit import raise_nofile
from rtlab.processes.parent_watch import announce, watch_parent
from rtlab.processes.start_child_process import Child

__all__ = ["main", "sending", "serving"]

CHUNK_BYTES: Final = 64 * 1024
START_TIMEOUT: Final = 20.0
STOP_TIMEOUT: Final = 2.0
TIMEOUT: Final = 120.0


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        first = data = await reader.read(CHUNK_BYTES)
        while data:
            if first[:1] == b"E":
                writer.write(data)
                await writer.drain()
            data = await reader.read(CHUNK_BYTES)
        writer.write(b".")
        await writer.drain()
    writer.close()


async def _serve() -> None:
    raise_nofile()
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=4096)
    stop = asyncio.Event()
    watch_parent(0, stop.set)
    announce(server.sockets[0].getsockname()[1])
    await stop.wait()


async def _send(port: int, total: int) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chunk = bytes(CHUNK_BYTES)
    begin = time.perf_counter()
    for _ in range(total // CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()
    await reader.read(1)
    rate = total // CHUNK_BYTES * CHUNK_BYTES / (time.perf_counter() - begin)
    writer.close()
    return rate


@contextlib.asynccontextmanager
async def serving() -> AsyncGenerator[int]:
    """Run the far end in a child process that ends with this process; yield its port."""
    far_end = Child.module("far end", "rtlab.bench.peers.raw_stream", "serve")
    try:
        yield await far_end.announced(START_TIMEOUT)
    finally:
        await far_end.stop(STOP_TIMEOUT)


async def sending(port: int, total_bytes: int) -> float:
    """Send `total_bytes` from a child process; return bytes per second."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "rtlab.bench.peers.raw_stream", "send", str(port), str(total_bytes)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    async with asyncio.timeout(TIMEOUT):
        printed, _ = await process.communicate()
    return float(printed)


def main() -> None:
    """Run the end that the command line names."""
    if sys.argv[-1] == "serve":  # behind ``--watch-fd 0``, which `Child.module` adds
        asyncio.run(_serve())
    else:
        print(asyncio.run(_send(int(sys.argv[2]), int(sys.argv[3]))))


if __name__ == "__main__":
    main()
