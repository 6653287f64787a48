"""One request over TLS, with every byte of the handshake counted."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec

from rtlab.errors import LabError

__all__ = ["TlsExchange", "tls_exchange"]

_TIMEOUT: Final = 10.0
_READ_BYTES: Final = 65_536


class TlsExchange(msgspec.Struct, frozen=True, kw_only=True):
    """One connection: TCP, TLS, one small request and its answer.

    Parameters
    ----------
    version : str
        ``"TLSv1.2"``, ``"TLSv1.3"``, or ``"none"``.
    resumed : bool
        Whether the server resumed an earlier TLS session.
    connect : float
        Seconds of the TCP handshake.
    handshake : float
        Seconds of the TLS handshake, until the client could send data; 0 without TLS.
    round_trips : int
        How often the client sent handshake data and had to wait for the server's.
    handshake_up_bytes, handshake_down_bytes : int
        Bytes of the handshake, without the session tickets that follow it.
    up_bytes, down_bytes : int
        Bytes of the whole exchange, session tickets included.
    server_cpu, client_cpu : float
        CPU seconds of the whole exchange at each end; NaN if they were not measured.
    """

    version: str
    resumed: bool
    connect: float
    handshake: float
    round_trips: int
    handshake_up_bytes: int
    handshake_down_bytes: int
    up_bytes: int
    down_bytes: int
    server_cpu: float = float("nan")
    client_cpu: float = float("nan")


async def tls_exchange(
    url: str, context: ssl.SSLContext | None, session: ssl.SSLSession | None = None
) -> tuple[TlsExchange, ssl.SSLSession | None]:
    """Open a connection, ask for ``/healthz``, read the answer, and close.

    Parameters
    ----------
    url : str
        The server's base URL.
    context : ssl.SSLContext or None
        TLS context, which sets the trusted certificates and the versions; None means plain HTTP.
    session : ssl.SSLSession, optional
        The TLS session to resume, from an earlier exchange with the same context.

    Returns
    -------
    exchange : TlsExchange
    session : ssl.SSLSession or None
        Pass this session to the next exchange to resume it; None without TLS.

    Raises
    ------
    LabError
        When the server did not answer 200.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    request = f"GET /healthz HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
    began = time.perf_counter()
    async with asyncio.timeout(_TIMEOUT):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        connected = time.perf_counter()
        wire = _CountedTls(reader, writer, context, parts.hostname, session)
        try:
            await wire.shake_hands()
            ready = time.perf_counter()
            handshake = wire.up, wire.down
            answer = await wire.ask(request)
        finally:
            writer.close()
    if b" 200 " not in answer[:20]:
        raise LabError(f"expected 200 from {parts.path or '/healthz'}, got {answer[:80]!r}")
    made = TlsExchange(
        version=wire.version,
        resumed=wire.resumed,
        connect=connected - began,
        handshake=ready - connected if context is not None else 0.0,
        round_trips=wire.round_trips,
        handshake_up_bytes=handshake[0],
        handshake_down_bytes=handshake[1],
        up_bytes=wire.up,
        down_bytes=wire.down,
    )
    return made, wire.session


class _CountedTls:
    """A TLS client that counts every byte it sends and receives; without a context, plain TCP.

    asyncio's own TLS can neither resume a session nor say how many bytes it moved.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext | None,
        host: str,
        session: ssl.SSLSession | None,
    ) -> None:
        self.up = self.down = self.round_trips = 0
        self._reader = reader
        self._writer = writer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._tls = context.wrap_bio(self._in, self._out, server_hostname=host, session=session)

    @property
    def version(self) -> str:
        return (self._tls.version() if self._tls is not None else None) or "none"

    @property
    def resumed(self) -> bool:
        return self._tls is not None and bool(self._tls.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        return self._tls.session if self._tls is not None else None

    async def shake_hands(self) -> None:
        while self._tls is not None:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.round_trips += int(self._flush())
                await self._fill()
            else:
                self._flush()
                return

    async def ask(self, request: bytes) -> bytes:
        """Send a request, and read until the server closes the connection."""
        if self._tls is None:
            self.up += len(request)
            self._writer.write(request)
            answer = await self._reader.read()
            self.down += len(answer)
            return answer
        self._tls.write(request)
        self._flush()
        answer = bytearray()
        while True:
            try:
                piece = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                if not await self._fill():
                    return bytes(answer)
            except ssl.SSLError:  # closed without a close_notify alert, which many servers leave out
                return bytes(answer)
            else:
                if not piece:
                    return bytes(answer)
                answer += piece

    def _flush(self) -> bool:
        data = self._out.read()
        self.up += len(data)
        self._writer.write(data)
        return bool(data)

    async def _fill(self) -> bool:
        data = await self._reader.read(_READ_BYTES)
        self.down += len(data)
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        return bool(data)
