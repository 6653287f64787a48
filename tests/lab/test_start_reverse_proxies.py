from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from rtlab.errors import LabError
from rtlab.lab.certificates import Certificates
from rtlab.lab.lab import Lab
from rtlab.lab.start_reverse_proxies import PROXY_SETTINGS, start_proxies
from rtlab.processes.find_program import find_program
from rtlab.processes.ports import accepts, can_hold_ports
from tests.held_ports import ports_held_here

TIMEOUT = 60.0

for name in PROXY_SETTINGS:
    if find_program(name) is None:
        pytest.skip(f"{name} is not installed: apt install {name}", allow_module_level=True)


async def test_the_proxies_speak_tls_and_nothing_else():
    certificates = Certificates()
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            Lab() as lab,
            start_proxies(lab, certificates=certificates) as urls,
            httpx.AsyncClient(verify=certificates.client_context, trust_env=False) as http,
        ):
            for url in urls.values():
                assert url.startswith("https://")
                assert (await http.get(f"{url}/healthz")).json() == {"status": "ok"}
                # Plain HTTP gets an error or a hang-up, never the server's answer.
                with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
                    assert (await http.get(f"http{url.removeprefix('https')}/healthz")).status_code == 400
    finally:
        certificates.remove()


async def test_the_proxies_end_with_the_block():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        async with start_proxies(lab) as urls:
            ports = [int(url.rpartition(":")[2]) for url in urls.values()]
            assert len(ports) == 5
            assert all([await accepts(port) for port in ports])
            assert not can_hold_ports() or set(ports) <= ports_held_here().keys()
        assert not any([await accepts(port) for port in ports])
        assert not can_hold_ports() or not set(ports) & ports_held_here().keys()
        with pytest.raises(LabError, match="got 'apache'"):
            async with start_proxies(lab, ("apache",)):
                pass


def listening_ports(config: str) -> list[int]:
    return sorted(map(int, re.findall(r"(?:listen|bind) 127\.0\.0\.1:(\d+)", Path(config).read_text())))


class Slow:
    """A lab whose proxies open one port each time that somebody asks, the highest first."""

    def __init__(self, upstream: str) -> None:
        self.url = upstream
        self.waiting: list[int] = []
        self.listening: list[socket.socket] = []

    async def spawn(self, argv: list[str], *, name: str = "", port: int | None = None) -> Slow:
        self.waiting = listening_ports(argv[-1])
        if port is not None:
            await self.until(lambda: accepts(port), 5)
        return self

    async def until(self, ready: Callable[[], Awaitable[bool]], timeout: float) -> None:
        while not await ready():
            self.listening.append(socket.create_server(("127.0.0.1", self.waiting.pop())))

    async def stop(self, timeout: float) -> None:
        for each in self.listening:
            each.close()


@pytest.mark.parametrize("program", PROXY_SETTINGS)
async def test_a_proxy_is_ready_when_all_its_ports_are_open(program: str):
    async with (
        asyncio.timeout(TIMEOUT),
        start_proxies(cast("Any", Slow("http://127.0.0.1:9")), (program,)) as urls,
    ):
        assert all([await accepts(int(url.rpartition(":")[2])) for url in urls.values()])
