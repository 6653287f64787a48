"""A proxy for TCP: a listener, and a link for each connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import Any, ClassVar, Final

from rtlab.faults.fault_trace import Trace
from rtlab.faults.proxy.proxy_base_class import Proxy, join_address, resolve, split_address
from rtlab.faults.proxy.tcp_link import Endpoint, ReceiveBuffer, TcpLink
from rtlab.faults.proxy.toxic_pipe import PipePair
from rtlab.processes.ports import HeldPort, can_hold_ports

__all__ = ["TcpProxy"]

DIAL_TIMEOUT: Final = 10.0
BACKLOG: Final = 4096


class TcpProxy(Proxy):
    """Accepts connections and connects each to the upstream.

    Parameters
    ----------
    name, listen, upstream, trace, seed
        See `Proxy`.
    receive_buffer : ReceiveBuffer
        The process's receive buffer.
    buffer_bytes : int or None
        Size of the kernel and user-space buffers of each socket; small values make
        backpressure show early. ``None`` leaves the kernel's sizes.
    """

    protocol: ClassVar[str] = "tcp"

    def __init__(
        self,
        name: str,
        listen: str,
        upstream: str,
        *,
        trace: Trace,
        seed: int = 0,
        receive_buffer: ReceiveBuffer | None = None,
        buffer_bytes: int | None = None,
    ) -> None:
        super().__init__(name, listen, upstream, trace=trace, seed=seed)
        self.receive_buffer = receive_buffer or ReceiveBuffer()
        self.buffer_bytes = buffer_bytes
        self._server: asyncio.Server | None = None
        # Stands for the time from one start to the next stop; None while the proxy does not listen.
        self._listening: object = None
        self._held: HeldPort | None = None
        self._dialling: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def to_dict(self) -> dict[str, Any]:
        extra = {"buffer_bytes": self.buffer_bytes} if self.buffer_bytes else {}
        return {**super().to_dict(), **extra}

    async def _listen(self) -> str:
        loop = asyncio.get_running_loop()
        family, name = await resolve(self.listen)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if can_hold_ports() and not name[1]:  # it stays this proxy's while the proxy is disabled
                self._held = HeldPort(name, family)
                name = self._held.address
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.buffer_bytes:  # accepted sockets inherit it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
            sock.bind(name)
            sock.setblocking(False)
            self._listening = listening = object()
            self._server = await loop.create_server(
                lambda: _Accepted(self, listening), sock=sock, backlog=BACKLOG
            )
        except BaseException:
            self._listening = None
            sock.close()
            if not split_address(self.listen)[1]:
                self.release_port()
            raise
        return join_address(sock.getsockname())

    async def _close(self) -> None:
        assert self._server is not None
        server, self._server, self._listening = self._server, None, None
        for task in tuple(self._dialling):
            task.cancel()
        loop = asyncio.get_running_loop()
        for sock in server.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows: there it is accepted in one turn
                loop.remove_reader(sock)
        try:
            # What asyncio has accepted gets its transport in the next turn, and is then reset. A server that
            # is closed before that loses the socket, which stays open.
            await asyncio.sleep(0)
        finally:
            server.close()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        await self._idle.wait()

    def release_port(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def dial_for(self, client: Endpoint, listening: object) -> None:
        """Dial the upstream for a client that was just accepted.

        Parameters
        ----------
        client : Endpoint
            The client's socket. It is reset if the proxy was stopped since: asyncio reports it a few turns of
            the loop after it was accepted.
        listening : object
            What `_listening` was when the proxy began to listen for it.
        """
        if listening is not self._listening:
            client.finish("rst")
            return
        number, seed = self.next_number()
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._dial(client, number, seed))
        self._dialling.add(task)
        task.add_done_callback(partial(self._dialled, client))

    def _dialled(self, client: Endpoint, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before it ran at all
            client.finish("drop")
        self._dialling.discard(task)
        self._settle()

    async def _dial(self, client: Endpoint, number: int, seed: str) -> None:
        host, port = split_address(self.upstream)
        server = Endpoint(self.receive_buffer, self.buffer_bytes)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                await asyncio.get_running_loop().create_connection(lambda: server, host, port)
        except (OSError, TimeoutError) as error:
            self.trace.add("upstream_failed", self.name, connection=number, detail=type(error).__name__)
            client.finish("fin")
            return
        except asyncio.CancelledError:
            server.finish("drop")
            raise
        if client.is_gone or server.is_gone:
            client.finish("fin")
            server.finish("fin")
            return
        link = TcpLink(number, self.name, seed, self.trace, client, server, self.forget)
        self.links.add(link)
        link.start(self.entries)

    def forget(self, link: PipePair) -> None:
        super().forget(link)
        self._settle()

    def _settle(self) -> None:
        if not self.links and not self._dialling:
            self._idle.set()


class _Accepted(Endpoint):
    """A client's socket; as soon as it is accepted, the proxy dials the upstream for it."""

    def __init__(self, proxy: TcpProxy, listening: object) -> None:
        super().__init__(proxy.receive_buffer, proxy.buffer_bytes)
        self._proxy = proxy
        self._listening = listening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.dial_for(self, self._listening)
