"""Many quiet clients of one server, cheap enough that this process can hold thousands."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from rtlab.errors import LabError

__all__ = ["IdleClients", "Kind", "Opening", "hold_idle_clients"]

Kind = Literal["websocket", "sse"]

#: Connections that open at the same time.
_CONCURRENT_OPENS: Final = 100
_TIMEOUT: Final = 60.0
#: What opening one may take beside that.
_OPEN_SECONDS: Final = 0.01

_ANSWERS: Final[dict[str, bytes]] = {"websocket": b"HTTP/1.1 101 ", "sse": b"HTTP/1.1 200 "}

#: Loopback addresses that clients come from in turn: one has some 28,000 ports.
_SOURCES: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
#: A ping without data, and the answer of a client: masked with zeros (RFC 6455 §5.3, §5.5.3).
_PING: Final = b"\x89\x00"
_PONG: Final = b"\x8a\x80\0\0\0\0"


class Opening(NamedTuple):
    """How a client begins.

    Parameters
    ----------
    path, subprotocol : str
        Of the request; without a subprotocol the server takes its default.
    welcome : bytes
        Stands in what says that the server has it.
    says : bytes
        A text that it sends after the upgrade.
    token : str
        An access token, for a server that asks for one.
    """

    path: str
    subprotocol: str
    welcome: bytes
    says: bytes = b""
    token: str = ""


_OPENINGS: Final[dict[str, Opening]] = {
    "websocket": Opening("/ws", "rtlab.v1.json", b'"type":"welcome"'),
    "sse": Opening("/sse", "", b'"type":"welcome"'),
}


class _IdleClient(asyncio.Protocol):
    """One client: it asks, waits for its welcome, and then only listens, and answers pings."""

    __slots__ = ("_answer", "_head", "_opening", "_request", "ended", "pings", "transport", "welcomed")

    def __init__(self, request: bytes, answer: bytes, opening: Opening) -> None:
        self.welcomed: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self.pings = 0
        self.ended = False
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._answer = answer
        self._opening = opening
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.welcomed is None:
            # Nothing else comes alone: an idle client is told nothing.
            if data == _PING and self.transport is not None:
                self.pings += 1
                self.transport.write(_PONG)
            return
        upgraded = b"\r\n\r\n" in self._head
        self._head += data
        if not self._head.startswith(self._answer[: len(self._head)]):
            self._fail(f"expected {self._answer.decode()}…, got {self._head[:60]!r}")
            return
        says = self._opening.says
        if says and not upgraded and b"\r\n\r\n" in self._head and self.transport is not None:
            self.transport.write(bytes((0x81, 0x80 | len(says))) + bytes(4) + says)
        if self._opening.welcome in self._head:
            self._head = b""
            if not self.welcomed.done():  # given up meanwhile
                self.welcomed.set_result(None)
            self.welcomed = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._fail("the server closed the connection before the welcome")

    def _fail(self, reason: str) -> None:
        if self.welcomed is not None and not self.welcomed.done():
            self.welcomed.set_exception(LabError(reason))


class IdleClients:
    """Clients that are connected.

    Parameters
    ----------
    kind : {"websocket", "sse"}
        Which transport.
    opening : Opening, optional
        How to begin at another server than the lab's.

    Attributes
    ----------
    kind : str
        As given.
    """

    def __init__(self, kind: Kind, opening: Opening | None = None) -> None:
        self.kind: Kind = kind
        self._opening = opening or _OPENINGS[kind]
        self._clients: list[_IdleClient] = []

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def alive(self) -> int:
        """How many are still connected."""
        return sum(not client.ended for client in self._clients)

    @property
    def pings(self) -> int:
        """Pings that they have answered."""
        return sum(client.pings for client in self._clients)

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
        head = _request(self.kind, self._opening, parts.netloc)

        async def join(source: str) -> None:
            async with slots:
                make = lambda: _IdleClient(head, _ANSWERS[self.kind], self._opening)  # noqa: E731
                _, client = await loop.create_connection(make, host, port, local_addr=(source, 0))
                self._clients.append(client)
                if client.welcomed is not None:
                    await client.welcomed

        async with asyncio.timeout(_TIMEOUT + count * _OPEN_SECONDS), asyncio.TaskGroup() as group:
            for n in range(count):
                group.create_task(join(_SOURCES[n % len(_SOURCES)]))

    def leave(self) -> None:
        """Drop every connection."""
        for client in self._clients:
            if client.transport is not None:
                client.transport.abort()


def _request(kind: Kind, opening: Opening, host: str) -> bytes:
    lines = [f"GET {opening.path} HTTP/1.1", f"Host: {host}"]
    if kind == "websocket":
        key = base64.b64encode(os.urandom(16)).decode()
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines.append(f"Sec-WebSocket-Key: {key}")
        if opening.token:
            lines.append(f"Authorization: Bearer {opening.token}")
        if opening.subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {opening.subprotocol}")
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def hold_idle_clients(
    url: str, kind: Kind, count: int, opening: Opening | None = None
) -> AsyncGenerator[IdleClients]:
    """Hold so many quiet clients for the time of the block.

    Parameters
    ----------
    url : str
        The server.
    kind : {"websocket", "sse"}
        Which transport.
    count : int
        How many. This process needs a descriptor for each: see `ulimit -n`.
    opening : Opening, optional
        How they begin, where it is not as usual.

    Examples
    --------
    ::

        async with hold_idle_clients(lab.url, "sse", 2000) as idle:
            assert idle.alive == 2000
    """
    idle = IdleClients(kind, opening)
    try:
        await idle.grow(url, count)
        yield idle
    finally:
        idle.leave()
        await asyncio.sleep(0)  # let the loop run once: it closes the aborted sockets
