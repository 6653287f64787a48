from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtlab.errors import LabError
from rtlab.experiments.transports.proxy_matrix import (
    SETTING_NAMES,
    matrix_table,
    matrix_view,
    proxy_matrix,
    recorded_matrix,
)
from rtlab.lab import reverse_proxies
from rtlab.lab.lab import Lab
from rtlab.lab.reverse_proxies import PROXY_SETTINGS
from rtlab.processes.programs_and_ports import find_program
from rtlab.protocol.transport_names import TRANSPORTS

pytestmark = pytest.mark.pair

TIMEOUT = 60.0

for name in PROXY_SETTINGS:
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
    table = matrix_table(frame)
    assert table.heads == ["", *TRANSPORTS]
    assert set(SETTING_NAMES) == {(proxy, name) for proxy, names in PROXY_SETTINGS.items() for name in names}
    assert [row[0] for row in table.rows] == list(SETTING_NAMES.values())
    assert table.rows[0][1:] == ["blocked", "buffered (2 s)", "cut when idle (2 s)", "passes"]
    assert view.loc["sse", ("nginx", "deaf")] == "buffered (2 s)"


async def test_tls_up_to_the_proxy_changes_nothing():
    """Who ends TLS reads HTTP: it needs the same settings. (Who cannot read it cannot meddle.)"""
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        frame = await proxy_matrix(lab, timeout=2.0, tls=True)
    assert words(frame) == EXPECTED


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


async def test_a_missing_proxy_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reverse_proxies, "find_program", lambda name: None)
    async with Lab() as lab:
        with pytest.raises(LabError, match=r"nginx is not installed: `apt install nginx`"):
            await proxy_matrix(lab)
        with pytest.raises(ValueError, match="at least 1 s"):
            await proxy_matrix(lab, timeout=0.1)


def test_the_recorded_run_agrees():
    frame = recorded_matrix()
    assert words(frame) == EXPECTED
    about = frame.attrs["about"]
    assert about["command"].startswith("rtlab proxies")
    assert {"nginx", "haproxy", "rtlab"} <= set(about["versions"])
    assert matrix_view(frame).shape == (4, 5)
