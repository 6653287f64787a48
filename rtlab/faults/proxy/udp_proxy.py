"""A proxy for UDP: a listener, and a flow for each client address."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, ClassVar, Final, cast

from rtlab.faults.proxy.proxy_base_class import Proxy, join_address, split_address
from rtlab.faults.proxy.toxic_pipe import PipePair

__all__ = ["DatagramFlow", "UdpProxy"]

Address = tuple[Any, ...]
IDLE_TIMEOUT: Final = 60.0  # s without a datagram after which a flow is forgotten
MAX_FLOWS: Final = 1024
BUFFER_BYTES: Final = 1 << 20


class _Side(asyncio.DatagramProtocol):
    """One end of a flow: a socket, and the peer's address unless the socket is connected."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self.address: Address | None = None
        self.sent = 0

    @property
    def backlog(self) -> int:
        return 0

    def feed(self, data: bytes | memoryview) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.sent += len(data)
            self.transport.sendto(data, self.address)

    def eof(self) -> None: ...

    @property
    def unread(self) -> int:
        return 0  # a source of datagrams is never paused

    def pause_source(self) -> None: ...

    def resume_source(self) -> None: ...


class _Upstream(_Side):
    """The socket towards the upstream, one for each client."""

    def __init__(self) -> None:
        super().__init__()
        self.flow: DatagramFlow | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self.flow is not None:
            self.flow.on_datagram(self.flow.down, data)

    def error_received(self, exc: Exception) -> None:
        if self.flow is not None:
            self.flow.refused(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.flow is not None:
            self.flow.closed()


class DatagramFlow(PipePair):
    """Datagrams between one client address and the upstream.

    Parameters
    ----------
    proxy : UdpProxy
        The relay.
    address : tuple
        The client's socket address.
    """

    def __init__(self, proxy: UdpProxy, address: Address) -> None:
        self._client, self._server = _Side(), _Upstream()
        number, seed = proxy.next_number()
        super().__init__(number, proxy.name, seed, proxy.trace, self._client, self._server)
        self.protocol = "udp"
        self.address = address
        self._proxy = proxy
        self._client.transport, self._client.address = proxy.transport, address
        self._server.flow = self
        self._early: list[bytes] = []
        self._last = self.loop.time()
        self._expiry = self.loop.call_later(IDLE_TIMEOUT, self._expire)
        self._refused = False
        self._task = self.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self.loop.create_datagram_endpoint(
                lambda: self._server, remote_addr=split_address(self._proxy.upstream)
            )
        except OSError as error:
            self.refused(error)
            self.end("fin", "", "no upstream")
            self.closed()
            return
        if self.ended:
            self.abandon()
            return
        self.record("opened")
        self.apply(self._proxy.entries)
        self.fresh = False
        early, self._early = self._early, []
        for data in early:
            self.up.feed(data)

    def on_client(self, data: bytes) -> None:
        """Handle a datagram from the client; keep up to 64 until the upstream's socket is ready."""
        if self.fresh:
            if len(self._early) < 64:
                self._early.append(data)
        else:
            self.on_datagram(self.up, data)

    def on_datagram(self, pipe: Any, data: bytes) -> None:
        self._last = self.loop.time()
        if not self.ended:
            pipe.feed(data)

    def refused(self, error: Exception) -> None:
        """Record, once, that the upstream is unreachable (an ICMP error, or no socket to it)."""
        if not self._refused:
            self._refused = True
            self.record("upstream_failed", detail=type(error).__name__)

    def _expire(self) -> None:
        left = self._last + IDLE_TIMEOUT - self.loop.time()
        if left > 0:
            self._expiry = self.loop.call_later(left, self._expire)
        else:
            self.end("fin", "", "idle")

    def finish(self, how: str) -> None:
        self._expiry.cancel()
        self.abandon()

    def abandon(self) -> None:
        if self._server.transport is not None:
            self._server.transport.abort()

    def closed(self) -> None:
        """The socket towards the upstream is closed: end and forget the flow."""
        self.end("fin", "", "closed")
        self._proxy.forget(self)

    async def wait(self) -> None:
        """Wait until the task that opens the flow has ended."""
        await self._task


class UdpProxy(Proxy):
    """Relays datagrams, for instance those of WebRTC.

    To put it between two WebRTC peers A and B, replace A's ICE candidate by the relay's
    address in the session description that B gets, and give A no candidate of B: A then
    answers to the address that datagrams come from (RFC 8445 §7.3.1.3, peer-reflexive).
    The receive buffer of 1 MiB holds bursts; datagrams that do not fit are lost.
    """

    protocol: ClassVar[str] = "udp"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.transport: asyncio.DatagramTransport | None = None
        self._flows: dict[Address, DatagramFlow] = {}
        self._gone = asyncio.Event()

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "protocol": "udp"}

    async def _listen(self) -> str:
        self._gone.clear()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Listener(self), local_addr=split_address(self.listen)
        )
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        return join_address(transport.get_extra_info("sockname"))

    async def _close(self) -> None:
        assert self.transport is not None
        self.transport.abort()
        self.transport = None
        await asyncio.gather(*(flow.wait() for flow in self._flows.values()), return_exceptions=True)
        await self._gone.wait()

    def on_datagram(self, data: bytes, address: Address) -> None:
        """Pass a client's datagram to its flow; the first one opens the flow."""
        flow = self._flows.get(address)
        if flow is None:
            if len(self._flows) >= MAX_FLOWS:
                return  # dropped, as by a NAT with a full table
            flow = self._flows[address] = DatagramFlow(self, address)
            self.links.add(flow)
        flow.on_client(data)

    def forget(self, link: PipePair) -> None:
        if link in self.links:
            super().forget(link)
            self._flows.pop(cast("DatagramFlow", link).address, None)
        self.settle()

    def settle(self) -> None:
        """Let `stop` return once the relay has stopped listening and its last flow is closed."""
        if self.transport is None and not self.links:
            self._gone.set()


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, proxy: UdpProxy) -> None:
        self._proxy = proxy

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._proxy.on_datagram(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.settle()
