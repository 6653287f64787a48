"""A WebSocket server that says exactly what a script says, frame for frame."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from rtlab.experiments.endpoint.craft_invalid_websocket_frames import FrameReader
from rtlab.protocol.websocket_handshake import accept_of

Talk = Callable[[FrameReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def websocket(talk: Talk, more: str = "") -> AsyncGenerator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.lower().index(b"sec-websocket-key: ") + 19
        accept = accept_of(head[key : key + 24].decode())
        fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}{more}"
        writer.write(f"HTTP/1.1 101 X\r\n{fields}\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            await talk(FrameReader(reader), writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
