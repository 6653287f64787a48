from __future__ import annotations

import asyncio
import copy
import json
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from rtlab.capture import wire_cost_measurement as wire
from rtlab.capture.tcp_tap import Tap
from rtlab.capture.traffic_parser import frames
from rtlab.capture.wire_cost_measurement import measure_wire
from rtlab.capture.wire_cost_tables import SEGMENT_HEADER_BYTES
from rtlab.errors import LabError, MachineBusy
from rtlab.lab.lab import Lab
from rtlab.models import framing_overhead as model
from rtlab.protocol.transport_names import TRANSPORTS

TIMEOUT = 20.0
SIZES = (125, 126, 65_535, 65_536)
HEADER = {125: 2, 126: 4, 65_535: 4, 65_536: 10}


def ping_of(size: int) -> str:
    text = json.dumps({"type": "ping", "payload": ""}, separators=(",", ":"))
    return text.replace('""', f'"{"x" * (size - len(text))}"')


@pytest.mark.parametrize("size", SIZES)
async def test_real_frames_have_the_headers_of_the_standard(size: int):
    async with asyncio.timeout(TIMEOUT), Lab() as lab, Tap(lab.url) as tap:
        url = f"ws{tap.url.removeprefix('http')}/ws"
        asked = [Subprotocol("rtlab.v1.json")]
        async with connect(url, subprotocols=asked, compression=None, proxy=None) as ws:
            await ws.recv()  # the welcome
            before = tap.flow(up=True), tap.flow(up=False)
            await ws.send(ping_of(size))
            assert len(await ws.recv()) == size  # a pong, as long as the ping
            up, down = tap.flow(up=True) - before[0], tap.flow(up=False) - before[1]
            [connection] = tap.connections
            start = connection.up.index(b"\r\n\r\n") + 4
            [sent] = frames(bytes(connection.up), start)
            *_, answered = frames(bytes(connection.down), connection.down.index(b"\r\n\r\n") + 4)
    assert up.bytes == size + HEADER[size] + 4
    assert down.bytes == size + HEADER[size]
    assert (sent.header_bytes, sent.masked, sent.length) == (HEADER[size] + 4, True, size)
    assert (answered.header_bytes, answered.masked, answered.length) == (HEADER[size], False, size)
    assert sent.header_bytes == model.websocket_header_bytes(size, masked=True)


@pytest.mark.parametrize("counted", [True, False], ids=["all at once", "not yet at the tap"])
async def test_messages_that_a_busy_machine_spoiled_are_asked_for_again_more_slowly(
    counted: bool, monkeypatch: pytest.MonkeyPatch
):
    rates: list[float] = []
    push = wire._push  # pyright: ignore[reportPrivateUsage]

    async def spoiled_once(tapped: Any, size: int, count: int, rate: float) -> Any:
        rates.append(rate)
        if len(rates) == 1 and counted:
            raise MachineBusy("all at once")
        begun, (up, down), pushed = await push(tapped, size, count, rate)
        if len(rates) == 1:
            down = msgspec.structs.replace(down, message_bytes=down.message_bytes + 80)
        return begun, (up, down), pushed

    monkeypatch.setattr(wire, "_push", spoiled_once)
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        report = await measure_wire(lab, ("longpoll",), size=100, count=3)
    assert rates[1] == rates[0] / 4
    assert report.cost("longpoll", "push", "down").payload_bytes > 100


async def test_the_report_agrees_with_the_standards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire, "_RATE", 5.0)  # a machine that stalls for less sends none with the next
    async with asyncio.timeout(TIMEOUT), Lab(heartbeat=600) as lab:  # no ping is counted
        report = await measure_wire(lab, size=300, count=10)
    frame = report.frame
    assert list(dict.fromkeys(frame.index.get_level_values("transport"))) == list(TRANSPORTS)

    # The frame header of RFC 6455, and nothing else, in both directions.
    assert report.cost("websocket", "push", "down").framing_bytes == 4
    assert report.cost("websocket", "send", "up").framing_bytes == 4 + 4
    assert report.cost("websocket", "push", "up").stream_bytes == 0

    # A long poll asks again for each message, or on a busy machine for two: heads in both directions.
    for direction in ("up", "down"):
        assert report.cost("longpoll", "push", direction).http_bytes > 50
    assert report.cost("sse", "push", "down").http_bytes == 0

    # An event carries its name and its cursor beyond `data: ` and the chunk.
    event = report.cost("sse", "push", "down")
    bare = model.sse_overhead_bytes(int(event.payload_bytes), event_bytes=len("feed"))
    assert event.framing_bytes is not None
    assert event.framing_bytes > int(bare)

    # A POST costs heads and a receipt; a datagram is encrypted and acknowledged.
    assert report.cost("sse", "send", "up").http_bytes > 100
    assert report.cost("webrtc", "send", "up").framing_bytes > 13 + 8  # DTLS record, then SCTP

    one = report.cost("websocket", "push", "down")
    assert 0.5 < one.packets <= 1  # a stalled server may write two at once
    assert one.wire_bytes == pytest.approx(one.stream_bytes + SEGMENT_HEADER_BYTES * one.packets)
    table = report.per_message
    warm, cold = table["push_warm"], table["push_cold"]
    assert (cold > warm).all()
    assert warm.idxmin() == "websocket"
    assert warm.idxmax() == "longpoll"
    assert "1,448" in report._repr_html_()
    assert repr(report) == "<WireReport: websocket, sse, longpoll, webrtc; 300 B payloads>"


async def test_larger_messages_take_more_segments():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        report = await measure_wire(lab, ("websocket",), size=10_000, count=4)
    cost = report.cost("websocket", "push", "down")
    # What the tap reads may come in more portions than one, each rounded up.
    assert model.segments(cost.stream_bytes) <= cost.packets <= 2 * model.segments(cost.stream_bytes)


async def test_messages_that_come_together_are_not_counted(monkeypatch: pytest.MonkeyPatch):
    """As on a busy machine: a poll's answer then carries several, and costs its heads once."""
    head: list[float] = []
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        for rate, count in ((5.0, 8), (300.0, 20)):
            monkeypatch.setattr(wire, "_RATE", rate)
            cost = (await measure_wire(lab, ("longpoll",), size=100, count=count)).cost(
                "longpoll", "push", "up"
            )
            head.append(cost.http_bytes or 0.0)
    assert 0 < head[0] <= head[1] < head[0] + 5  # digits of the cursor


@pytest.mark.parametrize("transport", ["websocket", "sse", "webrtc"])
async def test_messages_that_come_together_are_not_counted_where_the_tap_cannot_tell_them(
    transport: str, monkeypatch: pytest.MonkeyPatch
):
    """As on a busy machine: the tap has read the next message when the client handles the first."""

    async def busy() -> None:
        while True:
            await asyncio.sleep(0.03)
            stall()

    def stall() -> None:
        time.sleep(0.012)

    async def overhead(lab: Lab) -> float:
        cost = (await measure_wire(lab, (transport,), size=300, count=30)).cost(transport, "push", "down")
        return cost.stream_bytes - cost.payload_bytes

    async with asyncio.timeout(TIMEOUT), Lab(tls=True) as lab:
        quiet = await overhead(lab)
        monkeypatch.setattr(wire, "_RATE", 200.0)
        task = asyncio.create_task(busy())
        disturbed = await overhead(lab)
        task.cancel()
    assert disturbed == pytest.approx(quiet, abs=2)  # digits of cursors and stamps


async def test_what_cannot_be_measured_is_refused():
    async with Lab() as lab:
        with pytest.raises(ValueError, match="got carrier pigeon"):
            await measure_wire(lab, ("carrier pigeon",))
        with pytest.raises(ValueError, match="count >= 1"):
            await measure_wire(lab, count=0)


async def test_what_cannot_be_counted_ends_all_of_it_with_one_clear_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire, "_TIMEOUT", 0.05)
    monkeypatch.setattr(wire, "_RATE", 0.5)

    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        before = asyncio.all_tasks()
        with pytest.raises(LabError, match="did not end in time"):
            await measure_wire(lab, ("websocket", "sse"), size=10, count=1)
        assert asyncio.all_tasks() == before


async def test_acknowledgements_that_travel_alone_are_counted_by_the_kernel():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        report = await measure_wire(lab, ("websocket", "webrtc"), count=10)
    if report.cost("websocket", "send", "up").kernel_packets is None:
        pytest.skip("this kernel does not count segments")
    # A message that is not answered is acknowledged by a segment of its own.
    bare = report.per_message["send_warm"]
    assert report.acknowledged("websocket", "send") == pytest.approx(
        bare["websocket"] + SEGMENT_HEADER_BYTES, abs=26
    )
    # WebRTC has no TCP by then, and acknowledges by datagrams.
    assert report.acknowledged("webrtc", "send") == pytest.approx(
        report.per_message.loc["webrtc", "send_warm"]
    )


async def test_one_message_alone_is_no_distance_between_two():
    """The run of single messages may be one long: as if all others of a feed of three had come together."""
    handlers: list[Any] = []
    seen = SimpleNamespace(split=SimpleNamespace(payload_bytes=0), stream_bytes=0, message_bytes=0)

    async def answer(type: str, payload: Any) -> None:
        for number, apart in ((0, False), (1, True), (2, False)):
            seen.split.payload_bytes += 10
            seen.stream_bytes += 10
            seen.message_bytes = seen.split.payload_bytes - (0 if apart else 5)
            handlers[0](SimpleNamespace(payload={"n": number, "last": number == 2}))

    conn = SimpleNamespace(
        on=lambda type, handler: handlers.append(handler), off=lambda *_: None, request=answer
    )
    look = lambda up: copy.deepcopy(seen)  # noqa: E731
    tapped: Any = SimpleNamespace(transport="longpoll", conn=conn, countable=True, look=look)
    with pytest.raises(MachineBusy, match="one by one"):
        await wire._push(tapped, 10, 1, 50.0)  # pyright: ignore[reportPrivateUsage]
