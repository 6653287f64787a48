"""The path from a client to a lab's server: direct, or through the fault proxy with a longer round trip."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from rtlab.capture.udp_tap import UdpTap
from rtlab.client.client_factory_by_transport import make_client

if TYPE_CHECKING:
    import ssl as ssl_module

    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab

__all__ = ["NetworkPath", "path_to"]


class NetworkPath(NamedTuple):
    """A path from a client to the server.

    Parameters
    ----------
    url : str
        URL of the server, or of the fault proxy in front of it.
    ssl : ssl.SSLContext or None
        TLS context of the client; None for a lab without TLS.
    delay : float
        Seconds by which WebRTC packets are delayed in each direction. A relay in this process does so,
        because the fault proxy carries TCP only.
    """

    url: str
    ssl: ssl_module.SSLContext | None
    delay: float

    @asynccontextmanager
    async def client(self, transport: str) -> AsyncGenerator[Connection]:
        """Open a client on this path, and close it afterwards."""
        async with AsyncExitStack() as stack:
            relay = None
            if transport == "webrtc" and self.delay:
                relay = (await stack.enter_async_context(UdpTap(self.delay))).relay
            conn = make_client(transport, self.url, ssl=self.ssl, relay=relay)
            yield await stack.enter_async_context(conn)


@asynccontextmanager
async def path_to(lab: Lab, rtt_ms: float | None) -> AsyncGenerator[NetworkPath]:
    """Add `rtt_ms` to the path to a lab's server for the duration of the ``async with`` block.

    Parameters
    ----------
    lab : Lab
        A running lab. It needs a fault proxy unless `rtt_ms` is None.
    rtt_ms : float or None
        Milliseconds added to each round trip, including TCP's handshake. None connects to the
        server directly.

    Raises
    ------
    LabError
        When the lab has no fault proxy.
    """
    if rtt_ms is None:
        yield NetworkPath(lab.url, lab.ssl, 0.0)
        return
    if not 0 <= rtt_ms <= 10_000:
        raise ValueError(f"expected rtt_ms from 0 to 10,000, got {rtt_ms!r}")
    scheme = lab.url.partition(":")[0]
    async with lab.faults.rtt(rtt_ms, handshake=True):
        yield NetworkPath(f"{scheme}://127.0.0.1:{lab.faults.port}", lab.ssl, rtt_ms / 2e3)
