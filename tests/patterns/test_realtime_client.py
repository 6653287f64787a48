"""RealtimeClient through real proxies' misbehaviour: what still gets through."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from rtlab.errors import ConnectFailed
from rtlab.lab.lab import Lab
from rtlab.patterns.realtime_client import RealtimeClient, RealtimeConnection
from rtlab.patterns.transport_blocklist import Blocklist
from rtlab.policies.backoff import Constant


@pytest.fixture
async def lab():
    async with Lab(faults=True) as running:
        yield running


async def talks(client):
    """Rooms work both ways, so the transport does."""
    got = asyncio.get_running_loop().create_future()
    client.on("chat", lambda m: got.done() or got.set_result(m.payload))
    await client.join_room("r")
    await client.send("chat", "hi", room_id="r")
    async with asyncio.timeout(20):
        assert await got == "hi"


async def test_nothing_in_the_way(lab):
    async with await RealtimeClient.connect(lab.url) as client:
        assert client.transport == "websocket"
        assert list(client.attempts["outcome"]) == ["works"]
        await talks(client)


@pytest.mark.parametrize(
    ("fault", "order", "words"),
    [
        ("strip_upgrade", ["websocket", "sse"], "HTTP"),
        ("hang_upgrade", ["websocket", "sse"], "no first message"),
    ],
)
async def test_a_proxy_that_spoils_the_upgrade(lab, fault, order, words):
    await getattr(lab.faults, fault)()
    async with await RealtimeClient.connect(lab.faults.url, deadline=3.0) as client:
        assert list(client.attempts["transport"]) == order
        assert words in client.attempts["reason"][0]
        assert client.transport == "sse"
        await talks(client)


async def test_a_proxy_that_spoils_the_upgrade_and_buffers_responses(lab):
    await lab.faults.strip_upgrade()
    await lab.faults.buffer_response()
    async with await RealtimeClient.connect(lab.faults.url, deadline=3.0) as client:
        assert list(client.attempts["outcome"]) == ["refused", "refused", "works"]
        assert client.transport == "longpoll"
        await talks(client)


async def test_a_blocklist_shared_by_two_clients(lab):
    blocklist = Blocklist()
    await lab.faults.strip_upgrade()
    async with await RealtimeClient.connect(lab.faults.url, blocklist=blocklist):
        pass
    async with await RealtimeClient.connect(lab.faults.url, blocklist=blocklist) as second:
        assert list(second.attempts["outcome"]) == ["skipped", "works"]


async def test_a_proxy_that_cuts_what_it_does_not_know(lab):
    """Each WebSocket opens well and is cut: after three short lives the stream gets its turn."""
    blocklist = Blocklist(short_life=60.0, max_short_lives=3)
    options = {"blocklist": blocklist, "backoff": Constant(seconds=0.0)}
    async with await RealtimeClient.connect(lab.faults.url, **options) as client:
        await client.join_room("r")
        for cut in range(3):
            assert client.transport == "websocket"
            connects = client.stats.connects
            await lab.faults.cut()
            async with asyncio.timeout(20):
                while client.stats.connects == connects:
                    await asyncio.sleep(0.005)
            assert client.stats.connects == cut + 2
        assert client.transport == "sse"
        await talks(client)


async def test_a_server_that_is_busy_is_left_alone_for_as_long_as_it_asks(lab):
    await lab.faults.http_status(503, times=3, retry_after=1)
    options = {"backoff": Constant(seconds=0.0), "retry_initial": True}
    began = time.monotonic()
    async with await RealtimeClient.connect(lab.faults.url, **options) as client:
        assert time.monotonic() - began >= 1.0
        assert list(client.attempts["outcome"]) == ["refused"] * 3 + ["works"]
        assert client.transport == "websocket"


async def cut(lab, client):
    """Cut until it hurts: between two polls there is nothing that a client would miss."""
    before = client.stats
    while client.stats.disconnects == before.disconnects:
        await lab.faults.cut()
        for _ in range(50):
            if client.stats.disconnects > before.disconnects:
                break
            await asyncio.sleep(0.002)
    while client.stats.connects == before.connects:
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("read", ["at once", "late", "by handlers alone"])
async def test_rooms_and_direct_messages_survive_changes_of_transport(lab, read):
    """WebSocket, stream, polls and back, cut while messages flow: each comes once, in order."""
    order, count = ("websocket", "sse", "longpoll", "websocket"), 400
    blocklist = Blocklist(max_short_lives=99)
    origin = lab.faults.url.removeprefix("http://")
    handled, iterated, gaps = {"chat": [], "feed": []}, {"chat": [], "feed": []}, []
    client = RealtimeConnection(
        lab.faults.url, blocklist=blocklist, backoff=Constant(seconds=0.0), max_queue=100_000
    )  # what is not read before the last change must fit
    for kind in handled:
        client.on(kind, lambda m: handled[m.type].append(m.payload["n"]))
    client.on("resync", gaps.append)
    stopped = asyncio.Event()
    read_on = asyncio.Event()

    async def publish():
        async with RealtimeConnection(lab.url, transports=["websocket"]) as other:
            await other.join_room("r")
            n = 0
            while not stopped.is_set():
                await other.send("chat", {"n": n}, room_id="r")
                n += 1
                await asyncio.sleep(0.002)
        return n

    async def iterate(messages):
        async for message in messages:
            if message.type in iterated:
                iterated[message.type].append(message.payload["n"])
                if read == "late" and not read_on.is_set():
                    await read_on.wait()

    async with asyncio.timeout(60), client:
        await client.join_room("r")
        readers = [] if read == "by handlers alone" else [asyncio.create_task(iterate(aiter(client)))]
        await client.send("feed", {"rate": 500, "size": 10, "count": count})
        publisher = asyncio.create_task(publish())
        for name, following in itertools.pairwise(order):
            assert client.transport == name
            seen = len(handled["chat"])
            while len(handled["chat"]) < seen + 20:
                await asyncio.sleep(0.002)
            blocklist.forget()
            for other in order[: order.index(following)]:
                blocklist.block(origin, other, "not now")
            await cut(lab, client)
        assert client.transport == "websocket"
        stopped.set()
        published = await publisher
        read_on.set()
        for kind, total in (("chat", published), ("feed", count)):
            for seen in (handled, iterated) if readers else (handled,):
                while len(seen[kind]) < total:
                    await asyncio.sleep(0.002)
    await asyncio.gather(*readers)
    assert gaps == []
    for seen in (handled, iterated) if readers else (handled,):
        assert seen == {"chat": list(range(published)), "feed": list(range(count))}


async def test_nothing_at_all(lab):
    await lab.faults.blackhole()
    with pytest.raises(ConnectFailed, match="no transport works"):
        await RealtimeClient.connect(lab.faults.url, deadline=0.2)


@pytest.mark.parametrize("url", ["", "ftp://x", "127.0.0.1:80", "http://", "http://[::1"])
async def test_a_url_that_is_none(url):
    with pytest.raises(ConnectFailed, match="expected a URL"):
        await RealtimeClient.connect(url)


def test_unknown_transports_are_refused():
    with pytest.raises(ValueError, match="expected transports out of"):
        RealtimeConnection("http://127.0.0.1:1", transports=("smoke",))
