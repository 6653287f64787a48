"""What ends connections: cut, reset, slow close, a limit of data, accept then close."""

from __future__ import annotations

import asyncio
import time

import pytest

from rtlab.faults.proxy.proxy_base_class import Proxy
from tests.faults.conftest import eventually


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


async def test_slow_close_delays_only_the_end(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "slow_close", "attributes": {"delay": 80}})
    reader, writer = await dial()
    start = time.perf_counter()
    writer.write(b"bye")
    writer.write_eof()
    assert await reader.readexactly(3) == b"bye"
    assert await reader.read() == b""
    assert time.perf_counter() - start >= 0.079


async def test_reset_peer_resets_when_data_come(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    writer.write(b"fine")
    assert await reader.readexactly(4) == b"fine"
    proxy.add_toxic({"type": "reset_peer", "attributes": {"timeout": 10}})
    writer.write(b"fatal")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)


async def test_limit_data_closes_after_n_bytes(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "limit_data", "attributes": {"bytes": 10}})
    reader, writer = await dial()
    writer.write(b"0123456")
    assert await reader.readexactly(7) == b"0123456"
    writer.write(b"789abc")
    assert await reader.read() == b"789"
