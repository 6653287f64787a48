"""Stall, cut, blackhole, corrupt, accept_then_close."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.faults.proxy.collection import Collection
from rtlab.faults.proxy.proxy import Proxy
from tests.faults.conftest import eventually


async def test_stall_reads_nothing_and_loses_nothing(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    await eventually(lambda: proxy.links)
    proxy.add_toxic({"type": "stall", "stream": "upstream"})
    (link,) = proxy.links
    writer.write(b"waits")
    writer.write_eof()
    await asyncio.sleep(0.02)
    assert (link.up.blocked, link.up.bytes) == (True, 0)
    await eventually(lambda: link.held == 5)
    proxy.remove_toxic("stall_upstream")
    assert await asyncio.wait_for(reader.read(-1), 5) == b"waits"
    told = [(e.kind, e.bytes) for e in proxy.trace.since() if e.toxic == "stall_upstream"]
    assert told == [("toxic_added", 0), ("toxic_removed", 5), ("affected", 5), ("released", 0)]


async def test_the_trace_tells_a_stall_that_held_something_from_one_that_did_not(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    await eventually(lambda: proxy.links)
    for data in (b"", b"waits"):
        proxy.add_toxic({"type": "stall", "stream": "upstream"})
        writer.write(data)
        await eventually(lambda data=data: sum(t.held for t in proxy.links) == len(data))
        proxy.remove_toxic("stall_upstream")
        assert await asyncio.wait_for(reader.readexactly(len(data)), 5) == data
    assert [e.bytes for e in proxy.trace.since() if e.kind == "affected"] == [5]


async def test_a_connection_that_ends_while_it_is_stalled_shows_what_waited(proxy: Proxy, dial) -> None:
    _, writer = await dial()
    await eventually(lambda: proxy.links)
    proxy.add_toxic({"type": "stall", "stream": "upstream"})
    writer.write(b"waits")
    await eventually(lambda: any(t.held == 5 for t in proxy.links))
    proxy.cut()
    assert [e.bytes for e in proxy.trace.since() if e.kind == "ended"] == [5]


async def test_stall_behind_latency_holds_what_was_under_way(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "latency", "attributes": {"latency": 60_000}})
    reader, writer = await dial()
    writer.write(b"under way")
    await eventually(lambda: any(t.down.held for t in proxy.links))
    proxy.add_toxic({"type": "stall"})
    proxy.remove_toxic("latency_downstream")  # lets go of it: it comes to the stall
    (link,) = proxy.links
    assert link.down.stages[0].held == 9
    proxy.remove_toxic("stall_downstream")
    assert await asyncio.wait_for(reader.readexactly(9), 5) == b"under way"


async def test_cut_ends_present_and_future_connections(proxy: Proxy, dial) -> None:
    old, _ = await dial()
    await eventually(lambda: proxy.links)
    proxy.add_toxic({"type": "cut", "attributes": {"how": "rst"}})
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(old.read(), 5)
    new, _ = await dial()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(new.read(), 5)


async def test_accept_then_close_spares_old_connections(proxy: Proxy, dial) -> None:
    old, writer = await dial()
    await eventually(lambda: proxy.links)
    proxy.add_toxic({"type": "accept_then_close"})
    new, _ = await dial()
    assert await asyncio.wait_for(new.read(), 5) == b""
    writer.write(b"x")
    assert await old.readexactly(1) == b"x"


async def test_a_blackhole_swallows_the_end_and_gives_it_back(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    await eventually(lambda: proxy.links)
    proxy.add_toxic({"type": "blackhole", "stream": "upstream"})
    writer.write_eof()
    await eventually(lambda: any(e.kind == "affected" for e in proxy.trace.since()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(), 0.05)
    proxy.remove_toxic("blackhole_upstream")  # a FIN would have been sent again
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def corrupted(collection: Collection, echo: str, size: int, seed: int) -> dict[int, int]:
    """Which of 1,000 zero bytes, sent in chunks of `size`, come back as what."""
    proxy = await collection.create({"name": "noisy", "upstream": echo, "seed": seed})
    proxy.add_toxic({"type": "corrupt", "attributes": {"probability": 0.05, "skip": 100}})
    reader, writer = await asyncio.open_connection(*proxy.listen.split(":"))
    got = b""
    while len(got) < 1000:
        chunk = bytes(min(size, 1000 - len(got)))
        writer.write(chunk)
        got += await reader.readexactly(len(chunk))
    writer.transport.abort()
    await collection.remove("noisy")
    return {i: byte for i, byte in enumerate(got) if byte}


async def test_corruption_depends_on_the_seed_and_not_on_the_chunks(
    collection: Collection, echo: str
) -> None:
    flipped = await corrupted(collection, echo, 1000, seed=42)
    assert 20 < len(flipped) < 80  # 900 × 0.05 = 45, and 4 standard deviations either way
    assert min(flipped) >= 100
    assert all(byte.bit_count() == 1 for byte in flipped.values())
    assert await corrupted(collection, echo, 7, seed=42) == flipped
    assert await corrupted(collection, echo, 1000, seed=43) != flipped
