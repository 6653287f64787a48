"""Stalls, black holes and timeouts: what each does to bytes and to ends."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.faults.proxy.proxy_base_class import Proxy
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


async def test_timeout_swallows_then_closes(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "timeout", "attributes": {"timeout": 50}})
    reader, writer = await dial()
    writer.write(b"lost")
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_removing_timeout_closes_as_toxiproxy_does(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "timeout"})
    reader, writer = await dial()
    writer.write(b"lost")
    await eventually(lambda: any(e.kind == "affected" for e in proxy.trace.since()))
    proxy.remove_toxic("timeout_downstream")
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_a_timeout_is_added_behind_latency_which_is_then_removed(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "latency", "attributes": {"latency": 60_000}})
    reader, writer = await dial()
    writer.write(b"held")
    await eventually(lambda: any(link.down.held == 4 for link in proxy.links))
    proxy.add_toxic({"type": "timeout", "attributes": {"timeout": 0}})
    proxy.remove_toxic("latency_downstream")
    proxy.reset_toxics()
    assert await asyncio.wait_for(reader.read(), 5) == b""
