"""Latency, bandwidth and slices: what each does to bytes and to ends."""

from __future__ import annotations

import asyncio
import time

import pytest

from rtlab.faults.proxy.proxy_base_class import Proxy
from tests.faults.conftest import eventually


async def test_latency_keeps_the_order_under_jitter(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "latency", "attributes": {"latency": 10, "jitter": 10}})
    reader, writer = await dial()
    for i in range(50):
        writer.write(b"%02d" % i)
        await asyncio.sleep(0.0005)
    assert await reader.readexactly(100) == b"".join(b"%02d" % i for i in range(50))


async def test_latency_delays_the_end_too_and_pipelines(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "latency", "attributes": {"latency": 300}})
    reader, writer = await dial()
    start = time.perf_counter()
    for _ in range(10):  # not 10 × 300 ms: data travel behind each other
        writer.write(b"x")
        await asyncio.sleep(0.001)
    writer.write_eof()
    assert await reader.read(-1) == b"x" * 10
    assert 0.3 <= time.perf_counter() - start + 0.001 < 2.9


async def test_removing_latency_lets_go_what_it_held(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "latency", "attributes": {"latency": 60_000}})
    reader, writer = await dial()
    writer.write(b"held")
    await eventually(lambda: any(t.held == 4 for t in proxy.links))
    proxy.remove_toxic("latency_downstream")
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"held"
    assert [(e.kind, e.bytes) for e in proxy.trace.since() if e.kind in ("affected", "released")] == [
        ("affected", 4),
        ("released", 0),
    ]


async def test_bandwidth_shapes_and_holds_the_source(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "bandwidth", "attributes": {"rate": 500}})
    reader, writer = await dial()
    start = time.perf_counter()
    writer.write(b"x" * 100_000)
    assert len(await reader.readexactly(100_000)) == 100_000
    assert time.perf_counter() - start >= 0.19
    writer.write(b"y" * 10)
    assert await reader.readexactly(10) == b"y" * 10


async def test_slicer_changes_sizes_and_no_bytes(proxy: Proxy, dial) -> None:
    attributes = {"average_size": 64, "size_variation": 32, "delay": 10}
    proxy.add_toxic({"type": "slicer", "attributes": attributes})
    reader, writer = await dial()
    data = bytes(range(250)) * 20
    writer.write(data)
    first = await reader.read(65536)
    assert len(first) < 5000
    assert first + await reader.readexactly(len(data) - len(first)) == data


async def test_a_bandwidth_of_nothing_holds_everything_until_it_changes(proxy: Proxy, dial) -> None:
    """Clients of Toxiproxy cut a connection in this way."""
    proxy.add_toxic({"type": "bandwidth", "attributes": {"rate": 0}})
    reader, writer = await dial()
    for change in ("update", "remove"):
        writer.write(b"x" * 1000)
        await eventually(lambda: any(link.down.held == 1000 for link in proxy.links))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        if change == "update":
            proxy.update_toxic("bandwidth_downstream", {"attributes": {"rate": 1000}})
        else:
            proxy.remove_toxic("bandwidth_downstream")
        assert await asyncio.wait_for(reader.readexactly(1000), 5) == b"x" * 1000
        if change == "update":
            proxy.update_toxic("bandwidth_downstream", {"attributes": {"rate": 0}})


async def test_latency_is_removed_after_the_reader_has_gone(proxy: Proxy, dial) -> None:
    """What was held is answered by a reset, so that the end which follows meets a dead socket."""
    proxy.add_toxic({"type": "latency", "attributes": {"latency": 60_000}})
    _, writer = await dial()
    writer.write(b"x" * 100_000)
    await eventually(lambda: any(link.down.held >= 100_000 for link in proxy.links))
    writer.transport.abort()
    await eventually(lambda: any(list(link.down.stages[0].queue)[-1] is None for link in proxy.links))
    proxy.remove_toxic("latency_downstream")
    assert proxy.entries == []
    await eventually(lambda: not proxy.links)
