from __future__ import annotations

import asyncio

import pytest

from rtlab.capture.tls_handshake_bytes import TlsExchange, tls_exchange
from rtlab.capture.wire_cost_measurement import measure_wire
from rtlab.errors import LabError
from rtlab.experiments.transports.direct_or_delayed_path import path_to
from rtlab.experiments.transports.tls_cost import VERSIONS, tls_cost
from rtlab.figures.chart_style.matplotlib_style import Chart
from rtlab.lab.lab import Lab

TIMEOUT = 60.0
#: RFC 8446 §5.2: record header 5, content type 1, tag 16.
RECORD_BYTES = 22


async def test_handshakes_cost_what_the_standards_say():
    async with asyncio.timeout(TIMEOUT), Lab(tls=True) as lab, Lab() as plain:
        cost = await tls_cost(lab, repeats=5, plain=plain)
    frame = cost.frame
    trips = frame["round_trips"]
    # RFC 5246 §7.3 and RFC 8446 §2: what 1.3 is for.
    assert trips["TLSv1.2", "first"] == 2
    assert trips["TLSv1.2", "resumed"] == 1
    assert trips["TLSv1.3", "first"] == trips["TLSv1.3", "resumed"] == 1
    assert trips["none", "first"] == 0
    for version in VERSIONS:
        # Resuming leaves out the certificate; the ticket goes up in its place.
        down = frame["handshake_down_bytes"]
        assert down[version, "resumed"] < down[version, "first"] / 2
        up = frame["handshake_up_bytes"]
        assert up[version, "resumed"] > up[version, "first"]
    both = frame["up_bytes"] + frame["down_bytes"]
    assert both.idxmin() == ("none", "first")
    assert (frame["handshake_ms"].drop(("none", "first")) > 0).all()
    assert repr(cost) == "<TlsCost: none, TLSv1.2, TLSv1.3; 25 connections>"
    assert "handshake_ms" in cost._repr_html_()
    assert isinstance(cost.plot(), Chart)


@pytest.mark.alone
async def test_distance_multiplies_the_round_trips():
    """With 60 ms of distance, a handshake takes its round trips times 60 ms, and not one more.

    TCP's round trip is among them: the fault proxy adds it to a connection's first bytes.
    """
    async with asyncio.timeout(TIMEOUT), Lab(tls=True, faults=True) as lab, path_to(lab, 60) as path:

        class Far:
            url, ssl, pids = path.url, lab.ssl, lab.pids

        cost = await tls_cost(Far(), repeats=3)
    kinds: dict[tuple[str, bool], list[TlsExchange]] = {}
    for made in cost.exchanges:
        kinds.setdefault((made.version, made.resumed), []).append(made)
    for same in kinds.values():
        trips = {made.round_trips + 1 for made in same}.pop()
        # A timer of the proxy may fire a little early; the quickest of three was not disturbed.
        took = [1e3 * (made.connect + made.handshake) for made in same]
        assert 59 * trips <= min(took) < 60 * (trips + 1)


async def test_a_session_of_another_server_is_not_resumed():
    async with asyncio.timeout(TIMEOUT), Lab(tls=True) as lab:
        _, session = await tls_exchange(lab.url, lab.ssl)
        again, session = await tls_exchange(lab.url, lab.ssl, session)
        assert again.resumed
        await lab.restart()  # it forgets the key of its tickets
        refused, _ = await tls_exchange(lab.url, lab.ssl, session)
        assert not refused.resumed


async def test_encryption_adds_a_record_to_each_message():
    async with asyncio.timeout(TIMEOUT), Lab(tls=True) as lab, Lab() as plain:
        secret = await measure_wire(lab, ("websocket", "sse"), size=300, count=10)
        open_ = await measure_wire(plain, ("websocket", "sse"), size=300, count=10)
    for transport in ("websocket", "sse"):
        costs = [report.cost(transport, "push", "down") for report in (secret, open_)]
        overhead = [cost.stream_bytes - cost.payload_bytes for cost in costs]
        # Cursors and the digits of the stamps differ by a byte or so between two runs.
        assert overhead[0] - overhead[1] == pytest.approx(RECORD_BYTES, abs=2)
        assert costs[0].framing_bytes is None
    assert secret.encrypted
    assert (secret.per_message > open_.per_message).all().all()


async def test_a_lab_without_tls_is_refused():
    async with Lab() as lab:
        with pytest.raises(LabError, match="tls=True"):
            await tls_cost(lab)
