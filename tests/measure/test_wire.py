from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from rtlab.errors import MessageError
from rtlab.lab import Lab
from rtlab.measure.annotate import annotate_frame, annotate_handshake
from rtlab.measure.clients import TRANSPORTS, make_client
from rtlab.measure.dissect import dissect, frames
from rtlab.measure.tap import Tap
from rtlab.measure.wire import SEGMENT_HEADER_BYTES, measure_wire
from rtlab.models import overhead
from rtlab.server.frames import TEXT, websocket_frame

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
    assert sent.header_bytes == overhead.websocket_header_bytes(size, masked=True)


async def test_every_byte_of_every_transport_is_accounted_for():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        for transport in ("websocket", "sse", "longpoll"):
            async with Tap(lab.url) as tap:
                async with make_client(transport, tap.url) as conn:
                    for n in range(5):
                        await conn.request("echo", {"n": n, "text": "grüße"})
                    await conn.join_room("r")
                    await conn.send("chat", "to myself", room_id="r")
                    await tap.quiet()
                    stats = conn.stats
                    splits = [dissect(bytes(c.up), bytes(c.down)) for c in tap.connections]
                for side, name in ((0, "bytes_out"), (1, "bytes_in")):
                    seen = sum(split[side].payload_bytes for split in splits)
                    assert seen == getattr(stats, name), (transport, name)
                    assert all(split[side].open_bytes == 0 for split in splits)
                for connection, split in zip(tap.connections, splits, strict=True):
                    assert split[0].total_bytes >= len(connection.up) - 30  # the farewell comes later
                    assert split[1].total_bytes >= len(connection.down) - 30


async def test_the_report_agrees_with_the_standards():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        report = await measure_wire(lab, size=300, count=10)
    frame = report.frame
    assert list(dict.fromkeys(frame.index.get_level_values("transport"))) == list(TRANSPORTS)

    # The frame header of RFC 6455, and nothing else, in both directions.
    assert report.cost("websocket", "push", "down").framing_bytes == 4
    assert report.cost("websocket", "send", "up").framing_bytes == 4 + 4
    assert report.cost("websocket", "push", "up").stream_bytes == 0

    # A long poll asks again for each message: heads in both directions.
    assert report.cost("longpoll", "push", "up").http_bytes > 100
    assert report.cost("longpoll", "push", "down").http_bytes > 100
    assert report.cost("sse", "push", "down").http_bytes == 0

    # An event carries its name and its cursor beyond `data: ` and the chunk.
    event = report.cost("sse", "push", "down")
    bare = overhead.sse_overhead_bytes(int(event.payload_bytes), event_bytes=len("feed"))
    assert event.framing_bytes is not None
    assert event.framing_bytes > int(bare)

    # A POST costs heads and a receipt; a datagram is encrypted and acknowledged.
    assert report.cost("sse", "send", "up").http_bytes > 100
    assert report.cost("webrtc", "send", "up").framing_bytes > 13 + 8  # DTLS record, then SCTP

    one = report.cost("websocket", "push", "down")
    assert one.packets == 1
    assert one.wire_bytes == one.stream_bytes + SEGMENT_HEADER_BYTES
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
    assert overhead.segments(cost.stream_bytes) <= cost.packets <= 2 * overhead.segments(cost.stream_bytes)


async def test_what_cannot_be_measured_is_refused():
    async with Lab() as lab:
        with pytest.raises(ValueError, match="got carrier pigeon"):
            await measure_wire(lab, ("carrier pigeon",))
        with pytest.raises(ValueError, match="count >= 1"):
            await measure_wire(lab, count=0)


@given(st.lists(st.binary(max_size=70_000), max_size=4), st.integers(0, 200))
def test_frames_are_found_at_any_cut(payloads: list[bytes], cut: int):
    data = b"".join(websocket_frame(TEXT, payload) for payload in payloads)
    assert [frame.length for frame in frames(data)] == [len(payload) for payload in payloads]
    left = max(0, len(data) - cut)
    assert frames(data[:left]) == [frame for frame in frames(data) if frame.end <= left]


# Annotated


async def test_a_real_handshake_looks_the_same_twice():
    shown: list[str] = []
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        for _ in range(2):
            async with Tap(lab.url) as tap, make_client("websocket", tap.url) as conn:
                await conn.send("ping", "hello")
                await tap.quiet()
                [connection] = tap.connections
                up, down = bytes(connection.up), bytes(connection.down)
            frame = up[up.index(b"\r\n\r\n") + 4 :]
            shown.append(
                "\n".join(
                    repr(part)
                    for part in (annotate_handshake(up), annotate_handshake(down), annotate_frame(frame))
                )
            )
            html = annotate_handshake(up)._repr_html_() + annotate_frame(frame)._repr_html_()
            assert str(connection.number) in html
            assert tap.url.rpartition(":")[2] not in html
    assert shown[0] == shown[1]
    assert "101" in shown[0]
    assert "Sec-WebSocket-Key: …" in shown[0]
    assert '{"type":"ping","payload":"hello"}' in shown[0]
    assert "always masked" in shown[0]


@pytest.mark.parametrize(("size", "code"), [(125, "125"), (126, "126"), (65_535, "126"), (65_536, "127")])
def test_the_length_field(size: int, code: str):
    parts = {part.name: part for part in annotate_frame(websocket_frame(TEXT, b"x" * size)).parts}
    assert parts["payload length"].value == code
    if code == "125":
        assert "extended length" not in parts
    else:
        assert parts["extended length"].value == f"{size:,}"


def test_a_close_frame_says_why():
    payload = (1008).to_bytes(2, "big") + b"no"
    text = repr(annotate_frame(bytes([0x88, len(payload)]) + payload))
    assert "1008 no" in text
    assert "Policy Violation" in text


def test_random_values_are_left_out():
    text = repr(annotate_frame(websocket_frame(TEXT, b'{"type":"echo","payload":1,"ts":12.5,"sent":1e-3}')))
    assert '"payload":1,"ts":…,"sent":…}' in text


def test_half_a_frame_and_half_a_head_are_refused():
    with pytest.raises(MessageError, match="whole WebSocket frame"):
        annotate_frame(b"\x81\x05abc")
    with pytest.raises(MessageError, match="empty line"):
        annotate_handshake(b"GET / HTTP/1.1\r\nHost: x\r\n")
