"""Many idle clients of one server, so cheap that this process can hold thousands."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from rtlab.errors import LabError

__all__ = ["IdleClients", "IdleHandshake", "IdleTransport", "hold_idle_clients"]

IdleTransport = Literal["websocket", "sse"]

#: Connections that open at the same time.
_CONCURRENT_OPENS: Final = 100
_TIMEOUT: Final = 60.0
#: Seconds added to the timeout for each connection to open.
_OPEN_SECONDS: Final = 0.01

_ANSWERS: Final[dict[str, bytes]] = {"websocket": b"HTTP/1.1 101 ", "sse": b"HTTP/1.1 200 "}

#: Source addresses of the clients, in turn: one loopback address has only some 28,000 ephemeral ports.
_SOURCES: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
#: A ping without data, and a client's pong, masked with zeros (RFC 6455 §5.3, §5.5.3).
_PING: Final = b"\x89\x00"
_PONG: Final = b"\x8a\x80\0\0\0\0"


class IdleHandshake(NamedTuple):
    """How a client connects to a kind of server.

    Parameters
    ----------
    path, subprotocol : str
        Path and WebSocket subprotocol of the request; with an empty subprotocol the server takes its default.
    welcome : bytes
        Bytes that occur in the server's message that the client is connected.
    says : bytes
        A text message that the client sends after the upgrade; empty for none.
    token : str
        Access token, for a server that requires one; empty for none.
    """

    path: str
    subprotocol: str
    welcome: bytes
    says: bytes = b""
    token: str = ""


_OPENINGS: Final[dict[str, IdleHandshake]] = {
    "websocket": IdleHandshake("/ws", "rtlab.v1.json", b'"type":"welcome"'),
    "sse": IdleHandshake("/sse", "", b'"type":"welcome"'),
}


class _IdleClient(asyncio.Protocol):
    """One client: it sends its request, waits for the welcome, and then only answers pings."""

    __slots__ = ("_answer", "_head", "_opening", "_request", "ended", "pings", "transport", "welcomed")

    def __init__(self, request: bytes, answer: bytes, opening: IdleHandshake) -> None:
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
            # A ping is the only frame that an idle client gets by itself.
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
            if not self.welcomed.done():  # it is done if `grow` was cancelled meanwhile
                self.welcomed.set_result(None)
            self.welcomed = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._fail("the server closed the connection before the welcome")

    def _fail(self, reason: str) -> None:
        if self.welcomed is not None and not self.welcomed.done():
            self.welcomed.set_exception(LabError(reason))


class IdleClients:
    """A group of idle clients of one transport.

    Parameters
    ----------
    kind : {"websocket", "sse"}
        The transport.
    opening : IdleHandshake, optional
        How to connect to a server other than the lab's.

    Attributes
    ----------
    kind : str
        The transport.
    """

    def __init__(self, kind: IdleTransport, opening: IdleHandshake | None = None) -> None:
        self.kind: IdleTransport = kind
        self._opening = opening or _OPENINGS[kind]
        self._clients: list[_IdleClient] = []

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def alive(self) -> int:
        """Number of clients that are still connected."""
        return sum(not client.ended for client in self._clients)

    @property
    def pings(self) -> int:
        """Number of pings that all clients together have answered."""
        return sum(client.pings for client in self._clients)

    async def grow(self, url: str, count: int) -> None:
        """Connect `count` more clients; return when each has got its welcome.

        Raises
        ------
        LabError
            If the server refused a client.
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
        """Abort every connection."""
        for client in self._clients:
            if client.transport is not None:
                client.transport.abort()


def _request(kind: IdleTransport, opening: IdleHandshake, host: str) -> bytes:
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
    url: str, kind: IdleTransport, count: int, opening: IdleHandshake | None = None
) -> AsyncGenerator[IdleClients]:
    """Hold `count` idle clients inside the block.

    Parameters
    ----------
    url : str
        The server's base URL.
    kind : {"websocket", "sse"}
        The transport.
    count : int
        Number of clients. This process needs a file descriptor for each: see `ulimit -n`.
    opening : IdleHandshake, optional
        How to connect to a server other than the lab's.

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
