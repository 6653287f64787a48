"""Many quiet clients of one server, cheap enough that this process can hold thousands."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

from rtlab.errors import LabError

__all__ = ["IdleClients", "Kind", "hold_idle_clients"]

Kind = Literal["websocket", "sse"]

#: Connections that open at the same time.
_CONCURRENT_OPENS: Final = 100
_TIMEOUT: Final = 60.0

_PATHS: Final[dict[str, str]] = {"websocket": "/ws", "sse": "/sse"}
_ANSWERS: Final[dict[str, bytes]] = {"websocket": b"HTTP/1.1 101 ", "sse": b"HTTP/1.1 200 "}


class _IdleClient(asyncio.Protocol):
    """One client: it asks, waits for its welcome, and then only listens."""

    def __init__(self, request: bytes, answer: bytes) -> None:
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        self.ended = False
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._answer = answer
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.welcomed.done():
            return
        self._head += data
        if not self._head.startswith(self._answer[: len(self._head)]):
            self._fail(f"expected {self._answer.decode()}…, got {self._head[:60]!r}")
        elif b'"type":"welcome"' in self._head:
            self._head = b""
            self.welcomed.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._fail("the server closed the connection before the welcome")

    def _fail(self, reason: str) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(LabError(reason))


class IdleClients:
    """Clients that are connected.

    Attributes
    ----------
    kind : str
        ``"websocket"`` or ``"sse"``.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self._clients: list[_IdleClient] = []

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def alive(self) -> int:
        """How many are still connected."""
        return sum(not client.ended for client in self._clients)

    async def grow(self, url: str, count: int) -> None:
        """Connect so many more; returns when each has had its welcome.

        Raises
        ------
        LabError
            When the server refused one.
        """
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        assert host is not None
        assert port is not None
        loop = asyncio.get_running_loop()
        slots = asyncio.Semaphore(_CONCURRENT_OPENS)
        head = _request(self.kind, parts.netloc)

        async def join() -> None:
            async with slots:
                make = lambda: _IdleClient(head, _ANSWERS[self.kind])  # noqa: E731
                _, client = await loop.create_connection(make, host, port)
                self._clients.append(client)
                await client.welcomed

        async with asyncio.timeout(_TIMEOUT), asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(join())

    def leave(self) -> None:
        """Drop every connection."""
        for client in self._clients:
            if client.transport is not None:
                client.transport.abort()


def _request(kind: Kind, host: str) -> bytes:
    lines = [f"GET {_PATHS[kind]} HTTP/1.1", f"Host: {host}"]
    if kind == "websocket":
        key = base64.b64encode(os.urandom(16)).decode()
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: rtlab.v1.json"]
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def hold_idle_clients(url: str, kind: Kind, count: int) -> AsyncGenerator[IdleClients]:
    """Hold so many quiet clients for the time of the block.

    Parameters
    ----------
    url : str
        The server.
    kind : {"websocket", "sse"}
        Which transport.
    count : int
        How many. This process needs a descriptor for each: see `ulimit -n`.

    Examples
    --------
    ::

        async with hold_idle_clients(lab.url, "sse", 2000) as idle:
            assert idle.alive == 2000
    """
    idle = IdleClients(kind)
    try:
        await idle.grow(url, count)
        yield idle
    finally:
        idle.leave()
        await asyncio.sleep(0)  # let the loop run once: it closes the aborted sockets
