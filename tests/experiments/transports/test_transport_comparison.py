from __future__ import annotations

import asyncio
import json

import pytest

from rtlab.errors import LabError, RtlabError
from rtlab.experiments.transports.comparison_result import COLUMNS
from rtlab.experiments.transports.direct_or_delayed_path import path_to
from rtlab.experiments.transports.transport_comparison import compare
from rtlab.figures.chart_style.matplotlib_style import Chart
from rtlab.lab.lab import Lab
from rtlab.measure.recorder import Recorder
from rtlab.protocol.transport_names import TRANSPORTS

TIMEOUT = 60.0


async def test_the_four_transports_are_measured_in_turns():
    told: list[tuple[float, str]] = []
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        result = await compare(
            lab, seconds=0.6, rate=100, size=200, progress=lambda share, text: told.append((share, text))
        )
        assert len(asyncio.all_tasks()) == 1
    frame = result.frame
    assert list(frame.index) == list(TRANSPORTS)
    assert list(frame.columns) == list(COLUMNS)
    assert (frame["messages"] == 60).all()
    assert frame.notna().all().all()
    assert (frame["push_p50_ms"] <= frame["push_p95_ms"]).all()
    assert (frame["push_p95_ms"] <= frame["push_p99_ms"]).all()
    # Each transport began one of the turns.
    order = [turn.transport for turn in result.turns]
    assert [order[i] for i in (0, 4, 8)] == list(TRANSPORTS[:3])
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert told[0][1] == "turn 1 of 3: websocket"

    # What holds on any machine: a connect of WebRTC, and a poll's heads, cost more.
    assert frame["connect_p50_ms"].idxmax() == "webrtc"
    assert frame["push_bytes"].idxmax() == "longpoll"
    assert frame["push_bytes"].idxmin() == "websocket"

    assert repr(result) == ("<Comparison: websocket, sse, longpoll, webrtc; 100 messages/s of 200 B, direct>")
    assert "server CPU, ms/1,000 pushes" in result._repr_html_()
    assert not any(column in result._repr_html_() for column in COLUMNS if "_" in column)
    assert str(lab._nodes[0].port) not in result._repr_html_()
    assert json.loads(json.dumps(result.to_dict()))["transports"]["sse"]["messages"] == 60
    chart = result.plot()
    assert isinstance(chart, Chart)
    assert len(chart.axes) == 4 + 3


async def test_a_live_recorder_gets_the_samples_and_an_earlier_run_does_not_count():
    recorder = Recorder()
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        for _ in range(2):
            result = await compare(lab, ("websocket",), seconds=0.3, rate=100, recorder=recorder)
            assert result.frame["messages"]["websocket"] == 30
            assert len(result.samples("websocket")) == 30
    assert len(recorder) == 60
    assert not recorder.loop_lag.running


async def test_stop_ends_the_run_at_once_and_what_was_finished_is_kept():
    stop = asyncio.Event()

    def progress(_share: float, text: str) -> None:
        if text == "turn 1 of 60: sse":
            asyncio.get_running_loop().call_later(0.1, stop.set)

    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        result = await compare(
            lab, ("websocket", "sse", "longpoll"), seconds=30, rate=50, progress=progress, stopped=stop
        )
        assert len(asyncio.all_tasks()) == 1
    frame = result.frame
    assert frame["messages"].to_dict() == {"websocket": 25, "sse": 0, "longpoll": 0}
    assert frame["connect_p50_ms"].isna().to_dict() == {"websocket": False, "sse": True, "longpoll": True}
    assert frame["send_bytes"].isna().all()
    assert "‹–›" in repr(result.table)
    assert result.to_dict()["transports"]["sse"]["client_cpu_ms"] is None


async def test_distance_shows_in_every_figure():
    async with asyncio.timeout(TIMEOUT), Lab(faults=True) as lab:
        result = await compare(lab, ("sse", "webrtc"), seconds=0.3, rate=50, rtt_ms=60)
        frame = result.frame
        # A timer of the proxy may fire a little early.
        assert (frame["push_p50_ms"] >= 29).all()
        assert (frame["round_trip_p50_ms"] >= 58).all()
        assert (frame["connect_p50_ms"] >= 116).all()
        assert "60 ms added" in repr(result)
        assert await lab.faults.toxics() == []


async def test_without_a_fault_proxy_there_is_no_distance():
    async with Lab() as lab:
        with pytest.raises(LabError, match="faults=True"):
            await compare(lab, seconds=0.3, rtt_ms=10)
        for wrong in (-1, float("nan"), 1e6):
            with pytest.raises(ValueError, match="rtt_ms from 0"):
                async with path_to(lab, wrong):
                    pass
        with pytest.raises(ValueError, match="above 0"):
            await compare(lab, seconds=0)
        with pytest.raises(ValueError, match="got none"):
            await compare(lab, ())


async def test_a_server_that_dies_ends_the_run():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        run = asyncio.ensure_future(compare(lab, ("websocket", "sse"), seconds=30, rate=100))
        await asyncio.sleep(1.0)
        lab.kill()
        with pytest.raises(RtlabError):
            await run
