from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from rtlab.client.factory import TRANSPORTS
from rtlab.errors import LabError
from rtlab.experiments import proxy_matrix as proxies
from rtlab.experiments.proxy_matrix import matrix_view, proxy_matrix, recorded_matrix, start_proxies
from rtlab.lab.certificates import Certificates
from rtlab.lab.lab import Lab
from rtlab.lab.proxy_configs import SETTINGS, haproxy_config, nginx_config
from rtlab.processes.host import accepts, find_program

pytestmark = pytest.mark.alone

TIMEOUT = 60.0

for name in SETTINGS:
    if find_program(name) is None:
        pytest.skip(f"{name} is not installed: apt install {name}", allow_module_level=True)

#: What theory says, and what must come out.
EXPECTED = {
    # nginx speaks HTTP/1.0 to the server, and passes on no hop-by-hop header.
    ("nginx", "defaults", "websocket"): "blocked",
    # The server's X-Accel-Buffering keeps the stream flowing; nothing keeps it alive.
    ("nginx", "defaults", "sse"): "cut when idle (2 s)",
    ("nginx", "defaults", "longpoll"): "cut when idle (2 s)",
    ("nginx", "defaults", "webrtc"): "passes",
    ("nginx", "deaf", "websocket"): "blocked",
    ("nginx", "deaf", "sse"): "buffered (2 s)",
    ("nginx", "deaf", "longpoll"): "cut when idle (2 s)",
    ("nginx", "deaf", "webrtc"): "passes",
    ("haproxy", "defaults", "websocket"): "cut when idle (2 s)",
    ("haproxy", "defaults", "sse"): "cut when idle (2 s)",
    ("haproxy", "defaults", "longpoll"): "cut when idle (2 s)",
    ("haproxy", "defaults", "webrtc"): "passes",
} | {(proxy, "right", transport): "passes" for proxy in ("nginx", "haproxy") for transport in TRANSPORTS}


def words(frame: Any) -> dict[tuple[str, str, str], str]:
    return {(row.proxy, row.setting, row.transport): row.words for row in frame.itertuples()}


async def test_real_proxies_do_what_their_manuals_say():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        # Half a second more, from a machine that stops, still rounds to 2 s; so does nginx's 0.3 s less.
        frame = await proxy_matrix(lab, timeout=1.9)
        lab.check()  # the proxies ended on purpose
        assert len(lab.pids) == 1
    assert words(frame) == EXPECTED
    cut = frame[frame["outcome"] == "cut when idle"]
    assert ((cut["cut_s"] - cut["timeout_s"]).abs() < 0.6).all()
    blocked = frame[frame["outcome"] == "blocked"]
    assert blocked["reason"].str.contains("426").all()
    assert not frame["reason"].str.contains(r"127\.0\.0\.1:\d").any()
    view = matrix_view(frame)
    assert list(view.index) == list(TRANSPORTS)
    assert view.loc["sse", ("nginx", "deaf")] == "buffered (2 s)"


async def test_tls_up_to_the_proxy_changes_nothing():
    """Who ends TLS reads HTTP: it needs the same settings. (Who cannot read it cannot meddle.)"""
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        frame = await proxy_matrix(lab, timeout=2.0, tls=True)
    assert words(frame) == EXPECTED


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


async def test_a_lab_with_tls_of_its_own_is_refused():
    async with Lab(tls=True) as lab:
        with pytest.raises(LabError, match="without TLS behind the proxies"):
            await proxy_matrix(lab)


async def test_the_cut_follows_the_configured_timeout():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        frame = await proxy_matrix(lab, ("websocket",), programs=("haproxy",), timeout=3.0)
    assert words(frame)["haproxy", "defaults", "websocket"] == "cut when idle (3 s)"


async def test_a_heartbeat_is_the_other_cure():
    async with asyncio.timeout(TIMEOUT), Lab(heartbeat=0.5) as lab:
        frame = await proxy_matrix(lab, ("websocket", "sse"), programs=("haproxy",), timeout=2.0)
    assert set(words(frame).values()) == {"passes"}


async def test_the_proxies_end_with_the_block():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        async with start_proxies(lab) as urls:
            ports = [int(url.rpartition(":")[2]) for url in urls.values()]
            assert len(ports) == 5
            assert all([await accepts(port) for port in ports])
        assert not any([await accepts(port) for port in ports])
        with pytest.raises(ValueError, match="got 'apache'"):
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


@pytest.mark.parametrize("program", SETTINGS)
async def test_a_proxy_is_ready_when_all_its_ports_are_open(program: str):
    async with asyncio.timeout(TIMEOUT), start_proxies(Slow("http://127.0.0.1:9"), (program,)) as urls:
        assert all([await accepts(int(url.rpartition(":")[2])) for url in urls.values()])


async def test_a_missing_proxy_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(proxies, "find_program", lambda name: None)
    async with Lab() as lab:
        with pytest.raises(LabError, match=r"nginx is not installed: `apt install nginx`"):
            await proxy_matrix(lab)
        with pytest.raises(ValueError, match="at least 1 s"):
            await proxy_matrix(lab, timeout=0.1)


def test_the_configurations_say_what_differs():
    nginx = nginx_config("/x", 8000, dict.fromkeys(SETTINGS["nginx"], 1), 2.5)
    assert nginx.count("proxy_read_timeout 2500ms;") == 2
    assert nginx.count("Upgrade $http_upgrade") == 1
    haproxy = haproxy_config("/x", 8000, dict.fromkeys(SETTINGS["haproxy"], 1), 2.5)
    assert haproxy.count("2500ms") == 2
    assert haproxy.count("timeout tunnel") == 1


def test_the_recorded_run_agrees():
    frame = recorded_matrix()
    assert words(frame) == EXPECTED
    about = frame.attrs["about"]
    assert about["command"].startswith("rtlab proxies")
    assert {"nginx", "haproxy", "rtlab"} <= set(about["versions"])
    assert matrix_view(frame).shape == (4, 5)
