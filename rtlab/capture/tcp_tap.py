"""A transparent TCP tap between a client and a server: it counts and keeps bytes, and changes none.

The tap limits its connections to Ethernet's segment size, because loopback's own
is 64 KiB, and reads from the kernel how many segments there really were.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

__all__ = ["ETHERNET_MSS", "Flow", "Tap", "TappedConnection"]

#: The maximum segment size that TCP announces on Ethernet: 1,500 bytes less 40 of IP and TCP headers.
#: The timestamps option takes another 12 bytes of each segment, so 1,448 are left for data.
_ANNOUNCED_MSS: Final = 1460
ETHERNET_MSS: Final = 1448

#: Bytes kept of each direction of a connection; bytes beyond are only counted.
KEEP_BYTES: Final = 1 << 22

_CONNECT_TIMEOUT: Final = 5.0
_READ_LIMIT: Final = 256 * 1024
#: struct tcp_info (linux/tcp.h): tcpi_segs_out and tcpi_segs_in, 32 bits each.
_SEGS: Final = struct.Struct("=II")
_SEGS_OFFSET: Final = 136


class Flow(msgspec.Struct, frozen=True):
    """The traffic in one direction.

    Parameters
    ----------
    bytes : int
        Payload bytes of the TCP streams.
    writes : int
        Portions in which these bytes arrived: reads of the tap that returned data.
    segments : int
        Segments by the model: ⌈portion / 1,448⌉ for each portion, without bare acknowledgements.
    kernel_segments : int or None
        Segments that the kernel counted, with handshake, acknowledgements and FIN; None where
        the system does not report them.
    """

    bytes: int = 0
    writes: int = 0
    segments: int = 0
    kernel_segments: int | None = 0

    def __add__(self, other: Flow) -> Flow:
        return self._combine(other, 1)

    def __sub__(self, other: Flow) -> Flow:
        return self._combine(other, -1)

    def _combine(self, other: Flow, sign: int) -> Flow:
        known = self.kernel_segments is not None and other.kernel_segments is not None
        return Flow(
            self.bytes + sign * other.bytes,
            self.writes + sign * other.writes,
            self.segments + sign * other.segments,
            (self.kernel_segments or 0) + sign * (other.kernel_segments or 0) if known else None,
        )


class TappedConnection:
    """One connection through the tap.

    Parameters
    ----------
    number : int
        Number of the connection, from 0, in the order of arrival.
    keep_bytes : int
        How many bytes to keep of each direction.

    Attributes
    ----------
    up, down : bytearray
        The first `keep_bytes` bytes that the client sent, and that the server sent.
    chunks : list of (float, bool, int)
        For each portion, as far as they are kept: when it arrived (monotonic seconds), whether it
        went up (to the server), and its size in bytes.
    """

    def __init__(self, number: int, keep_bytes: int) -> None:
        self.number = number
        self.up = bytearray()
        self.down = bytearray()
        self.chunks: list[tuple[float, bool, int]] = []
        self._keep = keep_bytes
        self._counts = {True: [0, 0, 0], False: [0, 0, 0]}
        self._socket: Any = None
        self._final: tuple[int, int] | None = None

    def saw(self, up: bool, data: bytes, at: float) -> None:
        """Count a portion of data, and keep it if there is room."""
        kept = self.up if up else self.down
        kept += data[: max(0, self._keep - len(kept))]
        if len(self.chunks) < self._keep // 16:
            self.chunks.append((at, up, len(data)))
        counts = self._counts[up]
        counts[0] += len(data)
        counts[1] += 1
        counts[2] += -(-len(data) // ETHERNET_MSS)

    def watch(self, sock: Any) -> None:
        """Read the kernel's segment counts from this socket, the one to the client, from now on."""
        self._socket = sock

    def ended(self) -> None:
        """Keep the kernel's last counts, because the socket is closing."""
        self._final = self._kernel()
        self._socket = None

    def flow(self, up: bool) -> Flow:
        """Return the traffic to the server (up), or to the client."""
        kernel = self._kernel()
        size, writes, segments = self._counts[up]
        return Flow(size, writes, segments, None if kernel is None else kernel[0 if up else 1])

    def _kernel(self) -> tuple[int, int] | None:
        """Return the segments from the client and to it; None where the system does not report them."""
        if self._socket is None:
            return self._final
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            out, into = _SEGS.unpack_from(info, _SEGS_OFFSET)
        except (OSError, AttributeError, struct.error):
            return None
        return into, out


class Tap:
    """A TCP forwarder on 127.0.0.1 that counts and keeps what passes.

    Parameters
    ----------
    url : str
        The server: ``http://host:port`` or ``https://host:port``.
    keep_bytes : int
        How many bytes to keep of each direction of a connection; with 0 the tap only counts.
    clock : callable
        Returns monotonic seconds.

    Notes
    -----
    The tap runs on the caller's event loop and adds some 0.1 ms to each direction: use it to
    measure bytes, not times.

    Examples
    --------
    >>> async def count(url: str) -> int:
    ...     async with Tap(url) as tap, ServerSentEvents(tap.url) as conn:
    ...         await conn.request("echo", "hi")
    ...         return tap.flow(up=True).bytes
    """

    def __init__(
        self, url: str, *, keep_bytes: int = KEEP_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.connections: list[TappedConnection] = []
        self._scheme = parts.scheme
        self._upstream = (parts.hostname, parts.port)
        self._keep = keep_bytes
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._port = 0
        self._ends: set[_End] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """The server's URL, through the tap."""
        return f"{self._scheme}://127.0.0.1:{self._port}"

    def __repr__(self) -> str:
        return f"<Tap: {len(self.connections)} connections>"

    async def __aenter__(self) -> Self:
        listener = _segmented(socket.socket())
        listener.bind(("127.0.0.1", 0))
        self._port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, up=True), sock=listener)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening, and abort every connection. Counts and kept bytes stay."""
        if self._server is not None:
            self._server.close()
        dials = tuple(self._dials)
        for task in dials:
            task.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        for end in tuple(self._ends):
            end.drop()
        while self._ends:  # the loop closes aborted sockets in its next iteration
            self._changed.clear()
            await self._changed.wait()
        if self._server is not None:
            await self._server.wait_closed()

    def flow(self, *, up: bool) -> Flow:
        """Return the traffic of all connections so far, to the server (up) or to the clients."""
        total = Flow()
        for connection in self.connections:
            total += connection.flow(up)
        return total

    async def moved(self, up_bytes: int, timeout: float = 5.0) -> None:
        """Wait until at least `up_bytes` have gone up; raise `TimeoutError` after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while self.flow(up=True).bytes < up_bytes:
                self._changed.clear()
                await self._changed.wait()

    async def quiet(self, seconds: float = 0.05, timeout: float = 5.0) -> None:
        """Wait until nothing has passed for `seconds`; raise `TimeoutError` after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while True:
                self._changed.clear()
                try:
                    async with asyncio.timeout(seconds):
                        await self._changed.wait()
                except TimeoutError:
                    return

    # Called by `_End`

    def accepted(self, end: _End) -> TappedConnection:
        """Connect to the server on behalf of a client that has just connected."""
        self._ends.add(end)
        connection = TappedConnection(len(self.connections), self._keep)
        self.connections.append(connection)
        task = asyncio.get_running_loop().create_task(self._dial(end, connection), name="tap")
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)
        return connection

    async def _dial(self, client: _End, connection: TappedConnection) -> None:
        loop = asyncio.get_running_loop()
        sock = _segmented(socket.socket())
        sock.setblocking(False)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await loop.sock_connect(sock, self._upstream)
                _, server = await loop.create_connection(lambda: _End(self, up=False), sock=sock)
        except (OSError, TimeoutError):
            sock.close()
            client.drop()
            return
        except BaseException:
            sock.close()
            raise
        self._ends.add(server)
        server.connection, server.peer, client.peer = connection, client, server
        client.resume()

    def left(self, end: _End) -> None:
        self._ends.discard(end)
        self._changed.set()

    def saw(self, end: _End, data: bytes) -> None:
        assert end.connection is not None
        end.connection.saw(end.up, data, self._clock())
        self._changed.set()


class _End(asyncio.Protocol):
    """One of the two sockets of a tapped connection; with `up`, the one to the client."""

    def __init__(self, tap: Tap, *, up: bool) -> None:
        self.up = up
        self.connection: TappedConnection | None = None
        self.peer: _End | None = None
        self._finished = False
        self._tap = tap
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_READ_LIMIT)
        if self.up:
            transport.pause_reading()  # until the connection to the server is open
            self.connection = self._tap.accepted(self)
            self.connection.watch(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        self._tap.saw(self, data)
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.write(data)

    def eof_received(self) -> bool:
        self._finished = True
        peer = self.peer
        if peer is None or peer._transport is None or peer._transport.is_closing():
            return False
        peer._transport.write_eof()
        if peer._finished:
            peer._transport.close()
        return not peer._finished  # half-closed: the other direction may still send

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.resume()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tap.left(self)
        if self.up and self.connection is not None:
            self.connection.ended()
        peer = self.peer._transport if self.peer is not None else None
        if peer is not None and not peer.is_closing():
            peer.close() if exc is None else peer.abort()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _segmented(sock: socket.socket) -> socket.socket:
    """Limit a socket's segments to Ethernet's size, where the system can, and turn off Nagle's algorithm."""
    if hasattr(socket, "TCP_MAXSEG"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _ANNOUNCED_MSS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
