from __future__ import annotations

import asyncio
import errno
import gc
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from rtlab.processes.ports import HeldPort, accepts, can_hold_ports, http_ok, port_is_free
from tests.held_ports import needs_held_ports, ports_held_here


def test_a_port_cannot_be_held_where_the_holder_may_not_let_its_server_in(monkeypatch: pytest.MonkeyPatch):
    """As in gVisor, where an option that is set after the bind has no effect on other sockets."""

    class Socket(socket.socket):
        bound = False

        def bind(self, address: Any, /) -> None:
            super().bind(address)
            self.bound = True

        def setsockopt(self, *option: Any) -> None:
            if not self.bound:
                super().setsockopt(*option)

    monkeypatch.setattr(socket, "socket", Socket)
    assert not can_hold_ports.__wrapped__()


@needs_held_ports
def test_a_held_port_is_only_for_a_server_that_asks_for_it_and_may_reuse_it():
    with HeldPort() as held:
        assert port_is_free(held.port)
        with socket.socket() as stranger:
            with pytest.raises(OSError, match="in use"):
                stranger.bind(("127.0.0.1", held.port))
            assert stranger.connect_ex(("127.0.0.1", held.port)) == errno.ECONNREFUSED
        for _ in range(2):  # the server ends, and starts again
            with socket.create_server(("127.0.0.1", held.port)) as server, socket.socket() as client:
                client.connect(server.getsockname())
                assert not port_is_free(held.port)
    assert port_is_free(0)
    assert held.port not in ports_held_here()


@needs_held_ports
def test_a_held_port_ends_with_its_owner_and_is_not_inherited():
    held = HeldPort()
    port = held.port
    look = ["-c", "from tests.held_ports import ports_held_here; print(ports_held_here())"]
    child = subprocess.run(
        [sys.executable, *look], capture_output=True, text=True, check=True, close_fds=False
    )
    assert child.stdout.strip() == "Counter()"
    assert port in ports_held_here()
    del held
    gc.collect()
    assert port not in ports_held_here()


@needs_held_ports
def test_a_group_of_held_ports_has_no_duplicates():
    with ExitStack() as stack:
        ports = [stack.enter_context(HeldPort()).port for _ in range(200)]
    assert len(set(ports)) == len(ports)


async def test_accepts_tells_a_listener_from_a_closed_port():
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await accepts(port)
    assert not await accepts(port)


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 503 Unavailable\r\n\r\n", False),
        (b"SSH-2.0-200\r\n", False),
        (b"", False),
    ],
)
async def test_http_ok_wants_status_200(answer: bytes, ok: bool):
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        assert await http_ok(server.sockets[0].getsockname()[1], "/healthz") is ok


async def test_http_ok_does_not_wait_for_a_silent_server():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not await http_ok(silent.getsockname()[1], "/healthz", timeout=0.05)
