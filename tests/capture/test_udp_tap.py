from __future__ import annotations

import asyncio

from rtlab.capture.udp_tap import UdpTap, kind_of

TIMEOUT = 10.0


class _UdpEcho(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data[:1] + b"answer", addr)


class _UdpClient(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.put_nowait(data)


async def test_datagrams_are_relayed_counted_by_kind_and_delayed():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(_UdpEcho, local_addr=("127.0.0.1", 0))
    try:
        async with asyncio.timeout(TIMEOUT), UdpTap(delay=0.4) as tap:
            port = await tap.relay(server.get_extra_info("sockname")[1])
            transport, client = await loop.create_datagram_endpoint(
                _UdpClient, remote_addr=("127.0.0.1", port)
            )
            began = loop.time()
            for first in (1, 22, 23):
                transport.sendto(bytes([first]) + b"hello")
            got: dict[int, float] = {}
            for _ in range(3):
                first = (await client.got.get())[0]
                got[first] = loop.time()
            assert set(tap.first_at_client) == {"stun", "handshake", "data"}
            for first, when in got.items():  # noted as it left the client, and held twice since
                assert began <= tap.first_at_client[kind_of(bytes([first]))] <= when - 0.8
            assert set(got) == {1, 22, 23}
            up, down = tap.flow(up=True), tap.flow(up=False)
            assert up.count == down.count == {"stun": 1, "handshake": 1, "data": 1}
            assert up.bytes["data"] == 6
            assert down.bytes["data"] == 7
            assert (tap.flow(up=True) - up).bytes.total() == 0
            assert tap.mappings == {transport.get_extra_info("sockname")[1]: port}
            transport.close()
    finally:
        server.close()


def test_kinds_of_datagrams():
    assert [kind_of(bytes([first])) for first in (0, 3, 20, 22, 63, 23, 128)] == [
        *("stun", "stun", "handshake", "handshake", "handshake", "data", "other")
    ]
    assert kind_of(b"") == "other"
