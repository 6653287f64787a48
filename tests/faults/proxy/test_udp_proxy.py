"""The relay for datagrams."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from rtlab.faults.client.fault_client import FaultClient
from rtlab.faults.errors import FaultError
from rtlab.faults.proxy import udp_proxy
from rtlab.faults.proxy.proxy_base_class import Proxy, split_address
from rtlab.faults.proxy.proxy_collection import Collection
from tests.faults.conftest import eventually


class Peer(asyncio.DatagramProtocol):
    """Keeps what it gets; an echoing one sends it back."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.got: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.append(data)
        if self.echo:
            self.transport.sendto(data, addr)

    def send(self, *datagrams: bytes) -> None:
        for data in datagrams:
            self.transport.sendto(data)


@pytest.fixture
async def far() -> AsyncIterator[Peer]:
    peer = Peer(echo=True)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: peer, local_addr=("127.0.0.1", 0))
    yield peer
    transport.abort()


@pytest.fixture
async def relay(collection: Collection, far: Peer) -> Proxy:
    host, port = far.transport.get_extra_info("sockname")
    return await collection.create({"name": "u", "upstream": f"{host}:{port}", "protocol": "udp", "seed": 5})


@pytest.fixture
async def near(relay: Proxy) -> AsyncIterator[Peer]:
    peer = Peer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: peer, remote_addr=split_address(relay.listen)
    )
    yield peer
    transport.abort()


def numbers(n: int) -> list[bytes]:
    return [b"%04d" % i for i in range(n)]


async def test_datagrams_pass_and_come_back(relay: Proxy, near: Peer) -> None:
    near.send(*numbers(20))
    await eventually(lambda: near.got == numbers(20))
    assert relay.byte_counts()["downstream"] == {"bytes": 80, "sent_bytes": 80}
    assert relay.to_dict()["protocol"] == "udp"


async def test_each_client_has_a_flow_of_its_own(relay: Proxy, near: Peer, far: Peer) -> None:
    other = Peer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: other, remote_addr=split_address(relay.listen)
    )
    near.send(b"near")
    other.send(b"other")
    await eventually(lambda: near.got and other.got)
    assert (near.got, other.got, len(relay.links)) == ([b"near"], [b"other"], 2)
    transport.abort()


async def send_until_through(near: Peer, far: Peer, n: int) -> None:
    """Send n datagrams slowly enough for every socket buffer, then an end mark until it arrives."""
    for i in range(0, n, 50):
        near.send(*numbers(n)[i : i + 50])
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while b"end" not in far.got:
            near.send(b"end")
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("burst", [1, 4])
async def test_loss_has_its_share_and_its_runs(relay: Proxy, near: Peer, far: Peer, burst: int) -> None:
    far.echo = False
    relay.add_toxic(
        {"type": "loss", "stream": "upstream", "attributes": {"probability": 0.2, "burst": burst}}
    )
    await send_until_through(near, far, 1000)
    missing = sorted(set(numbers(1000)) - set(far.got))
    # binomial(1000, 0.2): 200 ± 13; runs of 4 widen it by about √7
    assert 100 < len(missing) < 300
    index = [int(m) for m in missing]
    runs = sum(1 for i in index if i - 1 not in index)
    mean_run = len(index) / runs
    assert (mean_run < 1.6) if burst == 1 else (mean_run > 2.6)
    events = [e for e in relay.trace.since() if e.kind == "affected"]
    assert len(events) >= len(missing)
    assert events[0].detail.startswith("loses datagram")


async def test_the_same_seed_loses_the_same_datagrams(collection: Collection, far: Peer) -> None:
    host, port = far.transport.get_extra_info("sockname")
    far.echo = False
    outcomes: list[set[bytes]] = []
    for seed in (1, 1, 2):
        relay = await collection.create(
            {"name": "again", "upstream": f"{host}:{port}", "protocol": "udp", "seed": seed}
        )
        relay.add_toxic({"type": "loss", "stream": "upstream", "attributes": {"probability": 0.5}})
        peer = Peer()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda peer=peer: peer, remote_addr=split_address(relay.listen)
        )
        far.got.clear()
        await send_until_through(peer, far, 100)
        outcomes.append(set(far.got))
        transport.abort()
        await collection.remove("again")
    assert outcomes[0] == outcomes[1] != outcomes[2]


async def test_duplicate_repeats(relay: Proxy, near: Peer, far: Peer) -> None:
    relay.add_toxic({"type": "duplicate", "stream": "upstream", "attributes": {"probability": 1}})
    near.send(b"a", b"b")
    await eventually(lambda: sorted(far.got) == [b"a", b"a", b"b", b"b"])


async def test_reorder_holds_one_back_until_others_passed(relay: Proxy, near: Peer, far: Peer) -> None:
    far.echo = False
    attributes = {"probability": 1, "gap": 2, "delay": 60_000}
    relay.add_toxic({"type": "reorder", "stream": "upstream", "attributes": attributes})
    near.send(b"a", b"b", b"c", b"d")
    await eventually(lambda: far.got == [b"b", b"c", b"a"])  # d is held back now
    relay.remove_toxic("reorder_upstream")
    await eventually(lambda: far.got == [b"b", b"c", b"a", b"d"])


async def test_latency_with_jitter_lets_datagrams_overtake(relay: Proxy, near: Peer) -> None:
    relay.add_toxic({"type": "latency", "attributes": {"latency": 30, "jitter": 30}})
    start = time.perf_counter()
    near.send(*numbers(50))
    await eventually(lambda: len(near.got) == 50)
    assert near.got != sorted(near.got) == numbers(50)
    assert time.perf_counter() - start > 0.03


async def test_a_blackhole_swallows_and_latency_is_let_go(relay: Proxy, near: Peer) -> None:
    relay.add_toxic({"type": "latency", "attributes": {"latency": 60_000}})
    near.send(b"held")
    await eventually(lambda: any(link.held for link in relay.links))
    relay.remove_toxic("latency_downstream")
    await eventually(lambda: near.got == [b"held"])
    relay.add_toxic({"type": "blackhole"})
    near.send(b"gone")
    await eventually(lambda: any(e.detail == "swallows" for e in relay.trace.since()))
    assert near.got == [b"held"]


async def test_cut_begins_a_new_flow(relay: Proxy, near: Peer) -> None:
    near.send(b"1")
    await eventually(lambda: near.got)
    assert relay.cut() == 1
    await eventually(lambda: not relay.links)
    near.send(b"2")
    await eventually(lambda: near.got == [b"1", b"2"])
    (link,) = relay.links
    assert link.number == 2


async def test_a_silent_flow_is_forgotten(relay: Proxy, near: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_proxy, "IDLE_TIMEOUT", 0.5)
    near.send(b"1")
    await eventually(lambda: near.got)
    await eventually(lambda: not relay.links)
    assert [e.detail for e in relay.trace.since() if e.kind == "ended"] == ["fin: idle"]


async def test_a_full_table_takes_no_new_flow(
    relay: Proxy, near: Peer, far: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_proxy, "MAX_FLOWS", 1)
    near.send(b"1")
    await eventually(lambda: near.got)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.sendto(b"late", split_address(relay.listen))
        near.send(b"2")
        await eventually(lambda: len(near.got) == 2)
    assert far.got == [b"1", b"2"]


async def test_an_upstream_that_is_not_there(collection: Collection) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    relay = await collection.create({"name": "x", "upstream": f"127.0.0.1:{port}", "protocol": "udp"})
    peer = Peer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: peer, remote_addr=split_address(relay.listen)
    )
    peer.send(b"?")
    await eventually(lambda: any(e.kind == "upstream_failed" for e in relay.trace.since()))
    transport.abort()


async def test_toxics_know_their_protocol(relay: Proxy, proxy: Proxy) -> None:
    with pytest.raises(FaultError, match="slicer works on tcp only, this proxy is udp"):
        relay.add_toxic({"type": "slicer", "attributes": {"average_size": 1}})
    with pytest.raises(FaultError, match="loss works on udp only, this proxy is tcp"):
        proxy.add_toxic({"type": "loss", "attributes": {"probability": 0.1}})


async def test_from_the_client(faults: FaultClient, far: Peer) -> None:
    _, port = far.transport.get_extra_info("sockname")
    async with await faults.udp() as relay:
        assert await relay.relay(port) == relay.port
        peer = Peer()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: peer, remote_addr=(relay.host, relay.port)
        )
        async with relay.loss(1, stream="upstream"):
            peer.send(b"lost")
            while not any(e.kind == "affected" for e in await relay.events()):
                await asyncio.sleep(0.002)
        peer.send(b"found")
        await eventually(lambda: peer.got)
        assert peer.got == [b"found"]
        transport.abort()
