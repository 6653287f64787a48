"""The benchmarks' own clients connect directly, and import nothing from the folder they are started in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtlab.bench.peers.peer_servers import PeerServer
from rtlab.bench.suites.import_time import _fresh
from rtlab.bench.throughput.batched_send import _theirs
from rtlab.bench.throughput.honest_client import round_trips
from rtlab.bench.throughput.honest_echoes_under_attack import _epoch
from rtlab.lab.lab import Lab


@pytest.fixture
def hostile_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that does not exist, and a folder whose modules hide those that the children need."""
    for name in ("http_proxy", "HTTP_PROXY", "ws_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("json", "rtlab"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("hostile_surroundings")
async def test_they_need_neither_the_machines_proxy_nor_its_folder() -> None:
    async with asyncio.timeout(60), Lab() as lab:
        assert len(await round_trips(lab.ws_url, 0.03)) == 3
        assert await asyncio.to_thread(_epoch, lab)
        peer = await PeerServer.start("counting")
        try:
            await _theirs(peer.url.replace("http", "ws", 1), 2, each=True)
        finally:
            await peer.stop()
    assert await _fresh("import rtlab") > 0
