"""The way from a client to a lab's server: direct, or through the fault proxy with a longer round trip."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from rtlab.capture.udp_tap import UdpTap
from rtlab.client.factory import make_client

if TYPE_CHECKING:
    import ssl as ssl_module

    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab

__all__ = ["NetworkPath", "path_to"]


class NetworkPath(NamedTuple):
    """How a client gets to the server.

    Parameters
    ----------
    url : str
        Direct, or through the fault proxy.
    ssl : ssl.SSLContext or None
        What the client trusts.
    delay : float
        Seconds that each of WebRTC's packets is held in each direction: the fault
        proxy in front of the server carries TCP only, so a relay in this process does it.
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
    """Make the way to a lab's server this long, for the time of the block.

    Parameters
    ----------
    lab : Lab
        With a fault proxy, unless `rtt_ms` is None.
    rtt_ms : float or None
        Milliseconds added to a round trip, TCP's handshake included; None goes to
        the server directly.

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
