"""Round trips to servers that are not ours, each scripted to the byte."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import FrameReader, raw_frame
from rtlab.experiments.endpoint.record_round_trips import follow
from rtlab.measure.recorder import Recorder
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response
from rtlab.widgets.live_latency_plot import LatencyPlot
from tests.experiments.endpoint.scripted_websocket import websocket


def marks(recorder: Recorder) -> list[str]:
    return [f"{mark.kind} {mark.text}" for mark in recorder.marks]


async def test_one_pong_answers_all_pings_before_it_and_a_stall_is_in_each_of_them() -> None:
    async def last_pong_only(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        pings = [await frames.next() for _ in range(20)]
        assert all(ping is not None and ping.opcode == PING for ping in pings)
        writer.write(raw_frame(PING, b"beat", mask=False) + raw_frame(PONG, b"19", mask=False))
        beat = await frames.next()
        assert beat is not None
        assert (beat.opcode, beat.payload) == (PONG, b"beat")
        end = await frames.next()
        assert end is not None
        assert (end.opcode, end.code) == (CLOSE, 1000)

    recorder = Recorder()
    async with websocket(last_pong_only) as url:
        assert await follow(url, recorder, seconds=0.2, rate=100) == 20
    times: list[float] = recorder.measures(recorder.since(0).rows)["latency"].tolist()
    assert times == sorted(times, reverse=True)  # who was sent first has waited longest
    assert times[0] >= 100  # 190 ms when each ping leaves on time
    assert marks(recorder) == ["heartbeat websocket"]


async def test_the_servers_end_is_marked_and_ends_the_run() -> None:
    async def goes_away(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        await frames.next()
        writer.write(raw_frame(PONG, b"0", mask=False) + raw_frame(CLOSE, b"\x03\xe9", mask=False))

    recorder = Recorder()
    async with websocket(goes_away) as url:
        assert await follow(url, recorder, seconds=600) == 1
    assert marks(recorder) == ["disconnected websocket: close code 1001"]


async def test_a_socket_that_answers_no_ping_is_an_error() -> None:
    async def silent(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        while await frames.next() is not None:
            pass

    async with websocket(silent) as url:
        with pytest.raises(ConnectFailed, match=r"answered no ping within 0\.1 s"):
            await follow(url, Recorder(), seconds=0.05, timeout=0.1)


async def test_an_event_stream_is_asked_on_schedule_and_its_comments_are_heartbeats() -> None:
    async def stream(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(b": beat\n\ndata: a")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b": b\n\n")  # still data, though this piece begins with a colon
        await asyncio.sleep(60)

    recorder = Recorder()
    async with ScriptedServer(stream) as server:
        assert await follow(server.url, recorder, seconds=0.2, rate=20) == 4
    assert list(recorder.series) == ["sse"]
    assert marks(recorder) == ["heartbeat sse"]


async def test_a_long_poll_is_asked_on_schedule_and_its_death_is_marked() -> None:
    async def poll(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        dead = len(server.requests) > 3
        writer.write(b"" if dead else response(200, b"{}", content_type="application/json"))

    recorder = Recorder()
    async with ScriptedServer(poll) as server:
        assert await follow(server.url, recorder, series="mine", seconds=600, rate=50) == 2
    assert len(marks(recorder)) == 1
    assert "hung up without an answer" in marks(recorder)[0]


async def test_no_more_than_eight_requests_wait_for_a_server_that_holds_them() -> None:
    async def first_only(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(response(200, b"{}", content_type="application/json"))
        else:
            await asyncio.sleep(60)

    async with ScriptedServer(first_only) as server:
        assert await follow(server.url, Recorder(), seconds=0.3, rate=200, timeout=2.0) == 0
        assert len(server.requests) == 1 + 8


async def test_stop_ends_it_at_once_and_the_plot_shows_what_came() -> None:
    async def answers(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        while (frame := await frames.next()) is not None:
            if int(frame.payload) < 4:
                writer.write(raw_frame(PONG, frame.payload, mask=False))
            elif plot.recorder.statistics()["series"]["websocket"]["samples"] == 4:
                plot.stopped.set()  # what the button does

    plot = LatencyPlot(Recorder(), title="foreign")
    async with websocket(answers) as url, plot:
        assert await follow(url, plot.recorder, seconds=600, rate=50, stopped=plot.stopped) == 4
    assert plot.state == "stopped"
    assert plot.figure().axes


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
async def test_a_rate_is_a_positive_number(rate: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number of rate"):
        await follow("ws://127.0.0.1:1", Recorder(), rate=rate)
