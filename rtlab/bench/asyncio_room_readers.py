"""Readers of one room, on asyncio without a WebSocket library: each message waits until all have the last."""

from __future__ import annotations

import asyncio
import base64
import os
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from rtlab.errors import LabError

__all__ = ["ROOM", "Readers", "gather_readers"]

#: Name of the room that all readers join.
ROOM: Final = "fanout"

_AT_ONCE: Final = 100
_TIMEOUT: Final = 60.0

_JOIN: Final = b'{"type":"join_room","payload":{"roomId":"%b"},"id":"j"}' % ROOM.encode()
_CHAT: Final = b'{"type":"chat","roomId":"%b","payload":"%b"}'
_ECHO: Final = b'{"type":"echo","payload":"%b"}'


def _masked(text: bytes) -> bytes:
    """Make a text frame with a mask of zeros (RFC 6455 §5.3), which leaves the text as it is."""
    size = len(text)
    header = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return header + bytes(4) + text


class _Reader(asyncio.Protocol):
    """One client: upgrades, joins the room, and calls `heard` for each chat message."""

    def __init__(self, request: bytes, heard: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.echoed: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._heard = heard
        self._upgraded = False
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._fail(f"expected HTTP/1.1 101, got {head[:60]!r}")
                return
            self._upgraded = True
            self.say(_JOIN)
        # A server's frames have no mask: a header of 2 or 4 bytes, then the payload (RFC 6455 §5.2).
        while len(buffer) >= 4:
            size = buffer[1]
            start = 2
            if size == 126:
                size, start = int.from_bytes(buffer[2:4], "big"), 4
            if len(buffer) < start + size:
                break
            self._frame(buffer[start : start + size])
            buffer = buffer[start + size :]
        self._buffer = buffer

    def _frame(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"chat"'):
            self._heard()
        elif payload.startswith(b'{"type":"echo"'):
            if self.echoed is not None:
                self.echoed.set_result(None)
        elif payload.startswith(b'{"type":"ack"') and not self.ready.done():
            self.ready.set_result(None)

    def say(self, text: bytes) -> None:
        assert self.transport is not None
        self.transport.write(_masked(text))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the connection")

    def _fail(self, reason: str) -> None:
        for waiter in (self.ready, self.echoed):
            if waiter is not None and not waiter.done():
                waiter.set_exception(LabError(reason))


class Readers:
    """Clients of one server, all in one room.

    Parameters
    ----------
    url : str
        The server's WebSocket URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._members: list[_Reader] = []
        self._missing = 0
        self._all_heard: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._members)

    async def grow(self, count: int) -> None:
        """Connect `count` more readers; return when each has joined the room.

        Raises
        ------
        LabError
            If the server refused a reader.
        """
        parts = urlsplit(self._url)
        host, port = parts.hostname, parts.port
        assert host is not None
        assert port is not None
        key = base64.b64encode(os.urandom(16)).decode()
        # All are the same user; otherwise presence messages would be a second fan-out.
        lines = [f"GET {parts.path}?user=reader HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        request = "\r\n".join([*lines, "", ""]).encode()
        places = asyncio.Semaphore(_AT_ONCE)
        loop = asyncio.get_running_loop()

        async def join() -> None:
            async with places:
                make = lambda: _Reader(request, self._heard)  # noqa: E731
                _, member = await loop.create_connection(make, host, port)
                self._members.append(member)
                await member.ready

        async with asyncio.timeout(_TIMEOUT), asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(join())

    def _heard(self) -> None:
        self._missing -= 1
        if self._missing == 0 and self._all_heard is not None:
            self._all_heard.set_result(None)

    async def publish(self, count: int, size: int = 100) -> None:
        """Publish messages one at a time, each after every reader has received the one before.

        Parameters
        ----------
        count : int
            Number of messages.
        size : int
            Bytes of each payload.
        """
        text = _CHAT % (ROOM.encode(), b"x" * size)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_TIMEOUT):
            for n in range(count):
                self._missing = len(self._members)
                self._all_heard = loop.create_future()
                self._members[n % len(self._members)].say(text)
                await self._all_heard

    async def round_trip(self, size: int = 100) -> float:
        """Return the round trip of one echo, in seconds."""
        member = self._members[0]
        member.echoed = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(_TIMEOUT):
            began = time.perf_counter()
            member.say(_ECHO % (b"x" * size))
            await member.echoed
            return time.perf_counter() - began

    async def round_trips(self, other: Readers, count: int) -> tuple[float, float]:
        """Return the median round trips of this group and of another, measured in turns, in seconds."""
        times: tuple[list[float], list[float]] = ([], [])
        for n in range(count):
            # The order alternates: the first one may find the processor in a deeper sleep state.
            order = ((self, times[0]), (other, times[1]))
            for readers, taken in order if n % 2 else reversed(order):
                taken.append(await readers.round_trip())
        return statistics.median(times[0]), statistics.median(times[1])

    def leave(self) -> None:
        """Abort every connection."""
        for member in self._members:
            if member.transport is not None:
                member.transport.abort()


@asynccontextmanager
async def gather_readers(url: str, count: int) -> AsyncGenerator[Readers]:
    """Hold `count` readers inside the block.

    Parameters
    ----------
    url : str
        WebSocket URL of a server that answers ``join_room`` with an ``ack``: rtlab's or a peer's.
    count : int
        Number of readers. This process needs a file descriptor for each: see `ulimit -n`.

    Examples
    --------
    ::

        async with gather_readers(lab.ws_url, 200) as readers:
            await readers.publish(100)
    """
    readers = Readers(url)
    try:
        await readers.grow(count)
        yield readers
    finally:
        readers.leave()
        await asyncio.sleep(0)  # aborted sockets close in the loop's next iteration
