"""A tap for one WebRTC connection's packets: relays them, counts them by kind, and can delay them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Final, Literal, Self

import msgspec

__all__ = ["DATAGRAM_HEADER_BYTES", "Datagrams", "UdpTap", "kind_of"]

#: Header bytes of each datagram: IPv4 20 and UDP 8 (RFC 791, 768).
DATAGRAM_HEADER_BYTES: Final = 28

DatagramKind = Literal["stun", "handshake", "data", "other"]


class Datagrams(msgspec.Struct, frozen=True):
    """Number and bytes of the datagrams in one direction.

    Parameters
    ----------
    count, bytes : dict
        By kind: ``"stun"`` (ICE's checks), ``"handshake"`` (DTLS), ``"data"``
        (DTLS records that carry SCTP), ``"other"``.
    """

    count: Counter[str] = msgspec.field(default_factory=Counter[str])
    bytes: Counter[str] = msgspec.field(default_factory=Counter[str])

    def __sub__(self, other: Datagrams) -> Datagrams:
        return Datagrams(
            Counter({kind: n - other.count[kind] for kind, n in self.count.items()}),
            Counter({kind: n - other.bytes[kind] for kind, n in self.bytes.items()}),
        )


def kind_of(datagram: bytes) -> DatagramKind:
    """Classify a datagram by its first byte (RFC 7983), and a DTLS record by its type (RFC 6347).

    Parameters
    ----------
    datagram : bytes
        The UDP payload.

    Returns
    -------
    str
        One of the kinds of `Datagrams`.

    Examples
    --------
    >>> kind_of(bytes([22])), kind_of(bytes([23])), kind_of(bytes([1]))
    ('handshake', 'data', 'stun')
    """
    first = datagram[0] if datagram else 255
    if first <= 3:
        return "stun"
    if first == 23:
        return "data"
    return "handshake" if 20 <= first <= 63 else "other"


class UdpTap:
    """Relays packets on 127.0.0.1; pass its method `relay` to `WebRTCChannel`.

    Parameters
    ----------
    delay : float
        Seconds that each packet is held, in each direction.

    Attributes
    ----------
    first_at_client : dict of str to float
        Monotonic seconds when the client sent or received the first packet of each kind.

    Examples
    --------
    >>> async def count(url: str) -> int:
    ...     async with UdpTap() as tap, WebRTCChannel(url, relay=tap.relay) as conn:
    ...         await conn.request("echo", "hi")
    ...         return tap.flow(up=True).bytes["data"]
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.first_at_client: dict[DatagramKind, float] = {}
        self._flows = {True: Datagrams(), False: Datagrams()}
        self._relays: list[_Relay] = []
        self._mappings: dict[int, int] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    async def relay(self, port: int) -> int:
        """Open a relay in front of a UDP port of 127.0.0.1, and return its own port."""
        loop = asyncio.get_running_loop()
        made = await loop.create_datagram_endpoint(lambda: _Relay(self, port), local_addr=("127.0.0.1", 0))
        self._relays.append(made[1])
        return made[0].get_extra_info("sockname")[1]

    def close(self) -> None:
        """Close the relays; packets that are still delayed are lost."""
        for relay in self._relays:
            relay.close()
        self._relays.clear()

    def flow(self, *, up: bool) -> Datagrams:
        """Return the traffic so far, to the server (up) or to the client, as a copy."""
        flow = self._flows[up]
        return Datagrams(Counter(flow.count), Counter(flow.bytes))

    @property
    def mappings(self) -> dict[int, int]:
        """The client's UDP port → the one that the server sees: a NAT's table (RFC 4787 §4.1)."""
        return dict(self._mappings)

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

    def maps(self, inside: int, outside: int) -> None:
        """Note from which port (`outside`) the packets of a client's port (`inside`) reach the server."""
        self._mappings[inside] = outside

    def saw(self, up: bool, data: bytes) -> None:
        """Count one datagram."""
        kind, flow = kind_of(data), self._flows[up]
        # The delay comes after the tap: a packet from the server is at the client `delay` seconds later.
        self.first_at_client.setdefault(kind, time.monotonic() + (0.0 if up else self.delay))
        flow.count[kind] += 1
        flow.bytes[kind] += len(data)
        self._changed.set()


class _Relay(asyncio.DatagramProtocol):
    """One UDP socket between the client and one port of the server."""

    def __init__(self, tap: UdpTap, port: int) -> None:
        self._tap = tap
        self._server = ("127.0.0.1", port)
        self._client: tuple[str | Any, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        up = addr != self._server
        if up and addr != self._client and self._transport is not None:
            self._client = addr
            self._tap.maps(addr[1], self._transport.get_extra_info("sockname")[1])
        to = self._server if up else self._client
        self._tap.saw(up, data)
        if to is None:
            return
        if self._tap.delay:
            asyncio.get_running_loop().call_later(self._tap.delay, self._send, data, to)
        else:
            self._send(data, to)

    def _send(self, data: bytes, to: tuple[str | Any, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, to)

    def error_received(self, exc: Exception) -> None:
        """Ignore the error: a peer has closed its socket."""

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
