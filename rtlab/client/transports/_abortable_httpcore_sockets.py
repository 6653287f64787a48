"""Sockets for httpx that can be dropped at once.

httpx closes a connection in several awaited steps, but a transport's `abort` must not
await anything. So the sockets come from rtlab's own network backend (httpcore has an
interface for that), which keeps track of them all. It also avoids the layer (anyio)
that httpcore usually puts between the event loop and its parser.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, SupportsIndex

import httpcore

__all__ = ["Backend"]

# Limits
READ_BYTES: Final = 64 * 1024  # asyncio pauses reading when twice this is buffered


class Backend(httpcore.AsyncNetworkBackend):
    """Opens asyncio streams, and keeps track of them as long as they are in use.

    Parameters
    ----------
    sending : callable
        Called before bytes of a request are written. A TLS handshake does not count.

    Attributes
    ----------
    heard : float
        When a byte last arrived on any of the streams, in `time.monotonic` seconds.
    """

    def __init__(self, sending: Callable[[], None]) -> None:
        self.heard = time.monotonic()
        self._sending = sending
        self._open: weakref.WeakSet[_Socket] = weakref.WeakSet()
        self._aborted = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                socket = await self._connect(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection within {timeout} s") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        self._open.add(socket)
        if self._aborted:
            socket.abort()
        return socket

    async def _connect(self, host: str, port: int) -> _Socket:
        """Like `asyncio.open_connection`, with a reader that records when bytes arrive."""
        loop = asyncio.get_running_loop()
        reader = _Reader(self)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, host, port)  # sets TCP_NODELAY
        return _Socket(reader, asyncio.StreamWriter(transport, protocol, reader, loop), self._sending)

    def abort(self) -> None:
        self._aborted = True
        for socket in list(self._open):
            socket.abort()


class _Reader(asyncio.StreamReader):
    """Records when bytes arrive, even while no task reads."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(limit=READ_BYTES, loop=asyncio.get_running_loop())
        self.unread = 0  # bytes
        self._backend = backend

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        data = bytes(data)
        self._backend.heard = time.monotonic()
        self.unread += len(data)
        super().feed_data(data)


class _Socket(httpcore.AsyncNetworkStream):
    """An asyncio stream behind httpcore's interface."""

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter, sending: Callable[[], None]) -> None:
        self._reader = reader
        self._writer = writer
        self._sending = sending
        self._answered = False  # whether anything was read since the last write
        self._reused = False  # whether a request was written after an answer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                data = await self._reader.read(max_bytes)
            self._answered = True
            self._reader.unread -= len(data)
            return data
        except TimeoutError as error:
            raise httpcore.ReadTimeout(f"nothing came for {timeout} s") from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        self._reused = self._reused or self._answered
        self._sending()
        try:
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore.WriteTimeout(f"the peer took nothing for {timeout} s") from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def start_tls(
        self,
        ssl_context: ssl_module.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            await self._writer.start_tls(
                ssl_context, server_hostname=server_hostname, ssl_handshake_timeout=timeout
            )
        except (OSError, EOFError) as error:
            self.abort()
            raise httpcore.ConnectError(str(error)) from error
        return self

    async def aclose(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._writer.transport.abort()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # httpcore asks this of an idle connection, to learn whether the server has closed it. A server
            # that sends unrequested data, such as a 408, is about to close it (RFC 9110 §15.5.9), and that
            # data is not the answer to the next request.
            return self._writer.is_closing() or self._reader.at_eof() or self._reader.unread > 0
        if info == "reused":
            return self._reused
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._writer.get_extra_info(names.get(info, info))
