"""Listening, forwarding, ends of connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from types import SimpleNamespace

import pytest

from rtlab.faults.errors import FaultError
from rtlab.faults.proxy import tcp_proxy
from rtlab.faults.proxy.proxy_base_class import Proxy, split_address
from rtlab.faults.proxy.proxy_collection import Collection
from tests.faults.conftest import eventually
from tests.held_ports import needs_held_ports, ports_held_here


async def test_bytes_pass_in_both_directions(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert proxy.byte_counts()["upstream"] == {"bytes": 5, "sent_bytes": 5}


async def test_megabytes_pass_unharmed(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    data = bytes(range(256)) * 40_000

    async def send() -> None:
        writer.write(data)
        writer.write_eof()
        await writer.drain()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        got = group.create_task(reader.read(-1))
    assert got.result() == data
    await eventually(lambda: not proxy.links)


@needs_held_ports
async def test_a_disabled_proxy_keeps_the_port_that_the_system_chose(proxy: Proxy, dial) -> None:
    listen = proxy.listen
    port = split_address(listen)[1]
    for _ in range(2):
        await proxy.stop()
        assert port in ports_held_here()
        with socket.socket() as stranger:
            with pytest.raises(OSError, match="in use"):
                stranger.bind(("127.0.0.1", port))
            with pytest.raises(ConnectionRefusedError):
                await dial()
        await proxy.start()
        assert proxy.listen == listen
    reader, writer = await dial()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"


async def test_where_no_port_can_be_held_a_proxy_listens_again_on_the_same(
    collection: Collection, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_proxy, "can_hold_ports", lambda: False)
    await collection.create({"name": "q", "listen": "", "upstream": echo})
    proxy = collection.get("q")
    listen = proxy.listen
    await proxy.stop()
    assert isinstance(proxy, tcp_proxy.TcpProxy)
    assert proxy._held is None
    await proxy.start()
    assert proxy.listen == listen


@needs_held_ports
@pytest.mark.parametrize("way", ["remove", "update", "replace", "close"])
async def test_a_proxy_releases_its_port_when_it_is_no_longer_its_own(
    collection: Collection, proxy: Proxy, way: str
) -> None:
    port = split_address(proxy.listen)[1]
    await proxy.update(proxy.listen, "127.0.0.1:1", False)
    assert port in ports_held_here()
    match way:
        case "remove":
            await collection.remove("p")
        case "update":
            await collection.update(proxy, {"listen": "127.0.0.1:2"})
        case "replace":
            await collection.populate([{"name": "p", "listen": "", "upstream": "127.0.0.1:1"}])
        case _:
            await collection.close()
    assert port not in ports_held_here()


@needs_held_ports
async def test_another_name_of_its_address_does_not_move_a_proxy(proxy: Proxy) -> None:
    listen = proxy.listen
    port = split_address(listen)[1]
    await proxy.update(f"localhost:{port}", "127.0.0.1:1", False)
    assert proxy.upstream == "127.0.0.1:1"
    assert port in ports_held_here()
    await proxy.start()
    assert proxy.listen == listen


@needs_held_ports
async def test_a_port_that_the_caller_chose_is_free_while_its_proxy_is_disabled(
    collection: Collection, proxy: Proxy, held_port: int
) -> None:
    await collection.create({"name": "q", "listen": f"127.0.0.1:{held_port}", "upstream": proxy.listen})
    await collection.get("q").stop()
    assert ports_held_here()[held_port] == 1  # by this test
    socket.create_server(("127.0.0.1", held_port)).close()


async def test_a_proxy_without_a_socket_to_listen_on_holds_no_port(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_socket(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    await proxy.update("127.0.0.1:0", proxy.upstream, False)
    with monkeypatch.context() as patch:
        patch.setattr(tcp_proxy, "socket", SimpleNamespace(socket=no_socket, SOCK_STREAM=socket.SOCK_STREAM))
        with pytest.raises(FaultError, match="too many open files"):
            await proxy.start()
    assert isinstance(proxy, tcp_proxy.TcpProxy)
    assert proxy._held is None


async def test_a_half_close_lets_the_other_direction_finish(proxy: Proxy, dial) -> None:
    reader, writer = await dial()
    writer.write(b"last words")
    writer.write_eof()
    assert await reader.read(-1) == b"last words"
    await eventually(lambda: not proxy.links)


async def test_open_connections_draw_their_toxicity_from_a_new_seed(proxy: Proxy, dial) -> None:
    for _ in range(30):
        await dial()
    await eventually(lambda: len(proxy.links) == 30)
    proxy.add_toxic({"type": "latency", "toxicity": 0.5})

    def touched_with(seed: int) -> set[int]:
        proxy.reseed(seed)
        return {link.number for link in proxy.links if link.down.stages}

    one, other, again = touched_with(1), touched_with(2), touched_with(1)
    assert one == again != other
    proxy.remove_toxic("latency_downstream")
    proxy.add_toxic({"type": "latency", "toxicity": 0.5})
    assert {link.number for link in proxy.links if link.down.stages} == again


async def test_a_reset_of_the_client_ends_both_sides(proxy: Proxy, dial) -> None:
    _, writer = await dial()
    await eventually(lambda: proxy.links)
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
    await eventually(lambda: not proxy.links)
    assert [e.detail for e in proxy.trace.since() if e.kind == "ended"] == ["rst: client reset"]


@pytest.mark.parametrize(("how", "error"), [("rst", ConnectionResetError), ("fin", None)])
async def test_cut(proxy: Proxy, dial, how: str, error: type[Exception] | None) -> None:
    reader, writer = await dial()
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    assert proxy.cut(how) == 1
    if error:
        with pytest.raises(error):
            await reader.read()
    else:
        assert await reader.read() == b""
    await eventually(lambda: not proxy.links)
    reader, writer = await dial()  # new ones are accepted
    writer.write(b"y")
    assert await reader.readexactly(1) == b"y"


async def test_an_upstream_that_is_down_closes_the_client(
    collection: Collection, dial, proxy: Proxy, held_port: int
) -> None:
    await proxy.update(proxy.listen, f"127.0.0.1:{held_port}", True)
    await proxy.start()
    reader, _ = await dial()
    assert await reader.read() == b""
    assert [e.detail for e in collection.trace.since() if e.kind == "upstream_failed"] == [
        "ConnectionRefusedError"
    ]


async def test_a_taken_port_is_an_error_in_gos_words(collection: Collection, proxy: Proxy) -> None:
    with pytest.raises(FaultError, match=r"^listen tcp .*: bind: address already in use$") as info:
        await collection.create({"name": "q", "listen": proxy.listen, "upstream": proxy.upstream})
    assert info.value.status == 500
    assert list(collection.proxies) == ["p"]


async def test_stop_ends_everything_and_start_listens_on_the_same_port(proxy: Proxy, dial) -> None:
    reader, _ = await dial()
    await eventually(lambda: proxy.links)
    listen = proxy.listen
    await proxy.stop()
    assert not proxy.links
    with contextlib.suppress(ConnectionResetError):  # an end or a reset: both are ends
        assert await reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await dial()
    await proxy.start()
    assert proxy.listen == listen
    reader, writer = await dial()
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"


async def test_deleting_while_traffic_flows_disturbs_nobody_else(
    collection: Collection, echo: str, proxy: Proxy, dial
) -> None:
    other = await collection.create({"name": "other", "upstream": echo})
    host, port = other.listen.split(":")
    r2, w2 = await asyncio.open_connection(host, int(port))
    reader, writer = await dial()

    async def pump() -> None:
        try:
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()
                await reader.read(4096)
                if reader.at_eof():
                    return
        except OSError:
            return

    pumping = asyncio.create_task(pump())
    await eventually(lambda: proxy.byte_counts()["upstream"]["bytes"] > 100_000)
    await collection.remove("p")
    await asyncio.wait_for(pumping, 5)
    w2.write(b"still here")
    assert await r2.readexactly(10) == b"still here"
    w2.transport.abort()


async def test_small_buffers_make_backpressure_show(collection: Collection) -> None:
    unread = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0, limit=1024)
    upstream = f"127.0.0.1:{unread.sockets[0].getsockname()[1]}"
    proxy = await collection.create({"name": "small", "upstream": upstream, "buffer_bytes": 4096})
    host, port = proxy.listen.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    proxy.add_toxic({"type": "stall", "stream": "upstream"})
    writer.write(b"x" * 8_000_000)
    last = -1
    while last != writer.transport.get_write_buffer_size():
        last = writer.transport.get_write_buffer_size()
        await asyncio.sleep(0.05)
    assert last > 3_000_000  # most of it still waits in the sender
    writer.transport.abort()
    await collection.close()
    unread.close()


@pytest.mark.parametrize(
    "address",
    ["nowhere", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "a..b:1", f"{'a' * 300}:1", f"{'é' * 60}:1"],
)
def test_bad_addresses_are_refused(address: str) -> None:
    with pytest.raises(FaultError, match="bad request body: address"):
        split_address(address)


async def test_hundreds_of_connections(proxy: Proxy, dial) -> None:
    async def one(i: int) -> bool:
        reader, writer = await dial()
        writer.write(b"%04d" % i)
        return await reader.readexactly(4) == b"%04d" % i

    for start in range(0, 400, 100):
        assert all(await asyncio.gather(*(one(i) for i in range(start, start + 100))))
    assert len(proxy.links) == 400
