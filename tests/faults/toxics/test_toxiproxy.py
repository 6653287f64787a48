"""Toxiproxy's seven: what each does to bytes and to ends."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.faults.errors import FaultError
from rtlab.faults.proxy.proxy import Proxy
from rtlab.faults.toxics import TOXICS, parse_entry
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


async def test_slow_close_delays_only_the_end(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "slow_close", "attributes": {"delay": 80}})
    reader, writer = await dial()
    start = time.perf_counter()
    writer.write(b"bye")
    writer.write_eof()
    assert await reader.readexactly(3) == b"bye"
    assert await reader.read() == b""
    assert time.perf_counter() - start >= 0.079


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


async def test_reset_peer_resets_when_data_come(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    writer.write(b"fine")
    assert await reader.readexactly(4) == b"fine"
    proxy.add_toxic({"type": "reset_peer", "attributes": {"timeout": 10}})
    writer.write(b"fatal")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)


async def test_slicer_changes_sizes_and_no_bytes(proxy: Proxy, dial) -> None:
    attributes = {"average_size": 64, "size_variation": 32, "delay": 10}
    proxy.add_toxic({"type": "slicer", "attributes": attributes})
    reader, writer = await dial()
    data = bytes(range(250)) * 20
    writer.write(data)
    first = await reader.read(65536)
    assert len(first) < 5000
    assert first + await reader.readexactly(len(data) - len(first)) == data


async def test_limit_data_closes_after_n_bytes(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "limit_data", "attributes": {"bytes": 10}})
    reader, writer = await dial()
    writer.write(b"0123456")
    assert await reader.readexactly(7) == b"0123456"
    writer.write(b"789abc")
    assert await reader.read() == b"789"


async def test_an_update_takes_effect_on_open_connections(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "timeout", "attributes": {"timeout": 60_000}})
    reader, _ = await dial()
    await eventually(lambda: proxy.links)
    proxy.update_toxic("timeout_downstream", {"attributes": {"timeout": 10}})
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_toxicity_touches_its_share_and_only_grows(proxy: Proxy, dial) -> None:
    for _ in range(60):
        await dial()
    await eventually(lambda: len(proxy.links) == 60)
    proxy.add_toxic({"type": "latency", "toxicity": 0.5})
    touched = {t.number for t in proxy.links if t.down.stages}
    assert 15 < len(touched) < 45
    proxy.update_toxic("latency_downstream", {"toxicity": 0.8})
    more = {t.number for t in proxy.links if t.down.stages}
    assert touched < more
    proxy.update_toxic("latency_downstream", {"toxicity": 0})
    assert not any(t.down.stages for t in proxy.links)


@pytest.mark.parametrize(
    ("kind", "attributes", "error"),
    [
        ("bandwidth", {"rate": -1}, "rate must not be negative"),
        ("slicer", {"average_size": 0}, "average_size must be at least 1"),
        ("slicer", {"average_size": 5, "size_variation": 5}, "size_variation must be less"),
        ("slicer", {"average_size": 1.5}, "Expected `int`"),
        ("limit_data", {"bytes": -1}, "bytes must not be negative"),
        ("corrupt", {}, "missing required field: probability"),
        ("corrupt", {"probability": 1.1}, "probability must be above 0"),
        ("cut", {"how": "softly"}, "Invalid enum value"),
        ("http_status", {"status": 200}, "status must be from 300 to 599"),
        ("strip_upgrade", None, "works on the upstream stream only"),
    ],
)
def test_attributes_that_make_no_sense(kind: str, attributes: dict[str, float] | None, error: str) -> None:
    body = {"type": kind, "attributes": attributes, "stream": "downstream" if attributes is None else ""}
    with pytest.raises(FaultError, match=error):
        parse_entry(body)


@pytest.mark.parametrize("kind", sorted(TOXICS))
def test_each_toxic_says_what_it_can_and_cannot_imitate(kind: str) -> None:
    text = " ".join((TOXICS[kind].__doc__ or "").split())
    assert "Imitates " in text
    assert any(word in text for word in ("cannot", "never", " not ", "would not")), text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["latency", "slicer", "corrupt", "cut", "http_status"]) | json_values,
            "name": json_values,
            "stream": st.sampled_from(["upstream", "downstream"]) | json_values,
            "toxicity": json_values,
            "attributes": json_values
            | st.dictionaries(st.sampled_from(["latency", "jitter", "average_size", "how"]), json_values),
        },
    )
    | json_values
)
def test_any_body_is_a_toxic_or_an_error(body: object) -> None:
    with contextlib.suppress(FaultError):
        entry = parse_entry(body)
        assert parse_entry(entry.to_dict()).to_dict() == entry.to_dict()


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


async def test_a_timeout_is_added_behind_latency_which_is_then_removed(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "latency", "attributes": {"latency": 60_000}})
    reader, writer = await dial()
    writer.write(b"held")
    await eventually(lambda: any(link.down.held == 4 for link in proxy.links))
    proxy.add_toxic({"type": "timeout", "attributes": {"timeout": 0}})
    proxy.remove_toxic("latency_downstream")
    proxy.reset_toxics()
    assert await asyncio.wait_for(reader.read(), 5) == b""
