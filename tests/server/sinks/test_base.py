"""What the sinks of a TCP connection share: how much the system may hold for a client that does not read."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from rtlab.measure.kernel_sockets import bytes_in_kernel
from rtlab.patterns.message_batcher import MessageBatcher
from rtlab.protocol.urls import parse_url

#: Offered to a reader that takes nothing: without a bound, most of it lies in the system's buffers.
_OFFERED = 2_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp is Linux's")
@pytest.mark.parametrize(
    "opening",
    [
        "GET /sse?room=r HTTP/1.1\r\n",
        "GET /ws?room=r HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    ],
    ids=["sse", "ws"],
)
async def test_the_system_holds_little_for_a_reader_that_takes_nothing(opening: str) -> None:
    async with asyncio.timeout(60), Lab(send_buffer_bytes=16_384, overflow="drop_oldest") as lab:
        port = parse_url(lab.url, "").port
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", port))
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        with reader:
            reader.sendall(f"{opening}Host: 127.0.0.1:{port}\r\n{key}\r\n".encode())
            async with WebSocketConnection(lab.ws_url) as conn:
                await conn.join_room("r")
                async with MessageBatcher(conn, batch_size=10, flush_interval=0) as batcher:
                    for _ in range(_OFFERED // 4000):
                        await batcher.send("tick", "x" * 4000, room_id="r")
                assert batcher.stats.handled == _OFFERED // 4000
                held = bytes_in_kernel(port)
        assert 4000 < held < 200_000
