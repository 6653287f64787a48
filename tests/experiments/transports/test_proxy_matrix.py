from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from rtlab.errors import LabError
from rtlab.experiments.transports.proxy_matrix import (
    SETTING_NAMES,
    Probe,
    matrix_table,
    matrix_view,
    proxy_matrix,
    recorded_matrix,
)
from rtlab.lab import start_reverse_proxies
from rtlab.lab.lab import Lab
from rtlab.lab.start_reverse_proxies import PROXY_SETTINGS
from rtlab.processes.find_program import find_program
from rtlab.protocol.transport_names import TRANSPORTS

pytestmark = [pytest.mark.calm, pytest.mark.spread]

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

OUTCOMES = {key: text.partition(" (")[0] for key, text in EXPECTED.items()}


def words(frame: Any) -> dict[tuple[str, str, str], str]:
    return {(row.proxy, row.setting, row.transport): row.words for row in frame.itertuples()}


def outcomes(frame: Any) -> dict[tuple[str, str, str], str]:
    """Return the words without their seconds: a machine that stops for half of one would change them."""
    return {key: text.partition(" (")[0] for key, text in words(frame).items()}


def cut_early(frame: Any) -> list[Any]:
    """Return what was cut before its timeout, but for nginx's 0.3 s and a last message that was read late."""
    return frame[frame["cut_s"] < frame["timeout_s"] - 0.9].to_dict(orient="records")


async def test_real_proxies_do_what_their_manuals_say():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        frame = await proxy_matrix(lab, timeout=2.0)
        lab.check()  # the proxies ended on purpose
        assert len(lab.pids) == 1
    assert outcomes(frame) == OUTCOMES
    assert cut_early(frame) == []  # nor 1.5 s late: that passes
    blocked = frame[frame["outcome"] == "blocked"]
    assert blocked["reason"].str.contains("426").all()
    assert not frame["reason"].str.contains(r"127\.0\.0\.1:\d").any()
    assert list(matrix_view(frame).index) == list(TRANSPORTS)
    assert matrix_table(frame).heads == ["", *TRANSPORTS]


async def test_tls_up_to_the_proxy_changes_nothing():
    """Who ends TLS reads HTTP: it needs the same settings. (Who cannot read it cannot meddle.)"""
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        frame = await proxy_matrix(lab, timeout=2.0, tls=True)
    assert outcomes(frame) == OUTCOMES
    assert cut_early(frame) == []


async def test_a_lab_with_tls_of_its_own_is_refused():
    async with Lab(tls=True) as lab:
        with pytest.raises(LabError, match="without TLS behind the proxies"):
            await proxy_matrix(lab)


async def test_the_cut_follows_the_configured_timeout():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        frame = await proxy_matrix(lab, ("websocket",), programs=("haproxy",), timeout=4.0)
    assert outcomes(frame)["haproxy", "defaults", "websocket"] == "cut when idle"
    assert cut_early(frame) == []  # the others' 2 s would be; and 5.5 s are not waited for


async def test_a_heartbeat_is_the_other_cure():
    async with asyncio.timeout(TIMEOUT), Lab(heartbeat=0.5) as lab:
        frame = await proxy_matrix(lab, ("websocket", "sse"), programs=("haproxy",), timeout=2.0)
    assert set(words(frame).values()) == {"passes"}


async def test_a_missing_proxy_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(start_reverse_proxies, "find_program", lambda name: None)
    async with Lab() as lab:
        with pytest.raises(LabError, match=r"nginx is not installed: `apt install nginx`"):
            await proxy_matrix(lab)
        with pytest.raises(ValueError, match="at least 1 s"):
            await proxy_matrix(lab, timeout=0.1)


def test_times_are_said_in_whole_seconds():
    probe = Probe(
        proxy="p", setting="s", transport="sse", outcome="", connect_s=0, held_s=1.4, cut_s=1.6, timeout_s=2
    )
    said = [msgspec.structs.replace(probe, outcome=name).words for name in ("buffered", "cut when idle")]
    assert said == ["buffered (1 s)", "cut when idle (2 s)"]


def test_the_recorded_run_agrees():
    frame = recorded_matrix()
    assert words(frame) == EXPECTED
    about = frame.attrs["about"]
    assert about["command"].startswith("rtlab proxies")
    assert {"nginx", "haproxy", "rtlab"} <= set(about["versions"])
    view, table = matrix_view(frame), matrix_table(frame)
    assert view.shape == (4, 5)
    assert view.loc["sse", ("nginx", "deaf")] == "buffered (2 s)"
    assert set(SETTING_NAMES) == {(proxy, name) for proxy, names in PROXY_SETTINGS.items() for name in names}
    assert [row[0] for row in table.rows] == list(SETTING_NAMES.values())
    assert table.rows[0][1:] == ["blocked", "buffered (2 s)", "cut when idle (2 s)", "passes"]
