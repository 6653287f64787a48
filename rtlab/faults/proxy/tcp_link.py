"""One proxied TCP connection: the client's socket and the socket to the upstream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from rtlab.faults.fault_trace import Trace
from rtlab.faults.proxy.toxic_pipe import Pipe, PipePair
from rtlab.faults.toxics.toxic_registry_and_base_classes import ToxicEntry

__all__ = ["Endpoint", "ReceiveBuffer", "TcpLink"]

LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # close() sends RST
READ_BYTES: Final = 256 * 1024
LARGE_BYTES: Final = 32 * 1024
CLOSE_TIMEOUT: Final = 5.0


class ReceiveBuffer:
    """The one receive buffer of the process.

    A small read is copied out of the buffer. A large read is passed on without a copy,
    and a new buffer takes its place. So 1,000 idle connections share one buffer.
    """

    def __init__(self, size: int = READ_BYTES) -> None:
        self.size = size
        self.view = memoryview(bytearray(size))

    def take(self, n: int) -> bytes | memoryview:
        if n < LARGE_BYTES:
            return bytes(self.view[:n])
        taken = self.view[:n]
        self.view = memoryview(bytearray(self.size))
        return taken


class Endpoint(asyncio.BufferedProtocol):
    """One socket: the source of one pipe and the sink of the other."""

    def __init__(self, receive_buffer: ReceiveBuffer, buffer_bytes: int | None = None) -> None:
        self.receive_buffer = receive_buffer
        self.buffer_bytes = buffer_bytes
        self.transport: asyncio.Transport | None = None
        self.link: TcpLink | None = None
        self.out: Pipe | None = None  # its source is this socket
        self.into: Pipe | None = None  # its sink is this socket
        self._early = bytearray()
        self._early_eof = False
        self._eof_sent = False
        self.sent = 0  # bytes written to the transport

    # asyncio calls these
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's
        self.transport = transport = cast("asyncio.Transport", transport)
        limit = self.buffer_bytes or READ_BYTES
        transport.set_write_buffer_limits(high=limit, low=limit // 4)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.buffer_bytes:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer_bytes)

    def get_buffer(self, sizehint: int) -> memoryview:
        view = self.receive_buffer.view
        return view[: self.buffer_bytes] if self.buffer_bytes else view

    def buffer_updated(self, nbytes: int) -> None:
        data = self.receive_buffer.take(nbytes)
        pipe = self.out
        if pipe is None:  # the upstream is still being dialled
            self._early += data
            self.pause_source()
            return
        pipe.feed(data)

    def eof_received(self) -> bool:
        if self.out is None:
            self._early_eof = True
        else:
            self.out.eof()
        return True  # stay half-open: the other direction may still send

    def pause_writing(self) -> None:
        if self.into is not None:
            self.into.block(self)

    def resume_writing(self) -> None:
        if self.into is not None:
            self.into.unblock(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.link is not None:
            self.link.lost(self, exc)

    # Pipes call these
    def attach(self, link: TcpLink, out: Pipe, into: Pipe) -> None:
        self.link, self.out, self.into = link, out, into

    def replay(self) -> None:
        """Feed the pipe with the bytes that the client sent while the upstream was being dialled."""
        early, self._early = bytes(self._early), bytearray()
        assert self.out is not None
        if early:
            self.out.feed(early)
        if self._early_eof:
            self.out.eof()
        elif not self.out.blocked:
            self.resume_source()

    @property
    def is_gone(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    @property
    def backlog(self) -> int:
        transport = self.transport
        return 0 if transport is None or transport.is_closing() else transport.get_write_buffer_size()

    def feed(self, data: bytes | memoryview) -> None:
        transport = self.transport
        if transport is not None and not self._eof_sent and not transport.is_closing():
            self.sent += len(data)
            transport.write(data)

    def eof(self) -> None:
        transport = self.transport
        if transport is not None and not self._eof_sent and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the peer has reset the connection, which asyncio has not read yet
                transport.abort()
        self._eof_sent = True
        if self.link is not None:
            self.link.half_closed(self)

    @property
    def unread(self) -> int:
        """Bytes that wait in the kernel's receive buffer."""
        if self.is_gone:
            return 0
        assert self.transport is not None
        sock: Any = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, ImportError):  # the socket is closed; the system has no ioctl
            import fcntl
            import termios

            return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4))[0]
        return 0

    def pause_source(self) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing() and transport.is_reading():
            transport.pause_reading()

    def resume_source(self) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing() and not transport.is_reading():
            transport.resume_reading()

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        assert self.transport is not None
        sock: Any = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the peer is gone already
            sock.setsockopt(level, option, value)

    def finish(self, how: str) -> None:
        """Close this socket: ``"fin"`` after its unsent bytes; ``"rst"`` and ``"drop"`` discard them."""
        transport = self.transport
        if transport is None:
            return
        if how == "rst":
            if not transport.is_closing():
                self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            transport.abort()
        elif how == "fin" and not transport.is_closing():
            transport.close()
        else:
            transport.abort()


class TcpLink(PipePair):
    """A TCP connection through the proxy: two sockets, and a pipe in each direction.

    Parameters
    ----------
    number, proxy_name, seed, trace
        See `PipePair`.
    client, server : Endpoint
        The sockets.
    on_closed : callable
        Called once, when both sockets are closed.
    """

    def __init__(
        self,
        number: int,
        proxy_name: str,
        seed: str,
        trace: Trace,
        client: Endpoint,
        server: Endpoint,
        on_closed: Callable[[TcpLink], None],
    ) -> None:
        super().__init__(number, proxy_name, seed, trace, client, server)
        self.client = client
        self.server = server
        self._on_closed = on_closed
        self._open = {client, server}
        self._eofs: set[Endpoint] = set()
        self._deadline: asyncio.TimerHandle | None = None
        self._copies: set[asyncio.Task[None]] = set()
        client.attach(self, self.up, self.down)
        server.attach(self, self.down, self.up)

    def start(self, entries: Iterable[ToxicEntry]) -> None:
        """Put the toxics in place, then let data flow."""
        self.record("opened")
        self.apply(entries)
        self.fresh = False
        for endpoint in (self.client, self.server):
            if not self.ended:
                endpoint.replay()

    def half_closed(self, sink: Endpoint) -> None:
        """Note that an end of stream was passed to `sink`; end the link once both directions have ended."""
        self._eofs.add(sink)
        if len(self._eofs) == 2:
            self.end("fin", "", "both sides closed")

    def lost(self, endpoint: Endpoint, exc: Exception | None) -> None:
        """End the link because one of its sockets was closed or reset."""
        self._open.discard(endpoint)
        if not self.ended:
            side = "client" if endpoint is self.client else "upstream"
            self.end("rst" if exc is not None else "fin", "", f"{side} {'reset' if exc else 'closed'}")
        if not self._open:
            if self._deadline is not None:
                self._deadline.cancel()
            self._on_closed(self)

    def send_copy(self, request: bytes) -> None:
        task = self.loop.create_task(self._send_copy(request))
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    async def _send_copy(self, request: bytes) -> None:
        transport = self.server.transport
        address = None if transport is None else transport.get_extra_info("peername")
        if address is None:
            return  # the server's socket is closed
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                reader, writer = await asyncio.open_connection(*address[:2])
                try:
                    writer.write(request)
                    await reader.read(1)  # an answer: the server has handled the request
                finally:
                    writer.transport.abort()

    def finish(self, how: str) -> None:
        for task in self._copies:
            task.cancel()
        for endpoint in (self.client, self.server):
            endpoint.finish(how)
        if self._open:  # close() waits until the peer has read everything: bound that wait
            self._deadline = self.loop.call_later(CLOSE_TIMEOUT, self.abandon)

    def abandon(self) -> None:
        for endpoint in tuple(self._open):
            endpoint.finish("drop")
