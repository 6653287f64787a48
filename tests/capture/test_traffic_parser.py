from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtlab.capture.tcp_tap import Tap
from rtlab.capture.traffic_parser import frames, split_traffic
from rtlab.client.client_factory_by_transport import make_client
from rtlab.errors import MessageError
from rtlab.lab.lab import Lab
from rtlab.protocol.websocket_framing import TEXT, websocket_frame

TIMEOUT = 20.0


async def test_every_byte_of_every_transport_is_accounted_for():
    async with asyncio.timeout(TIMEOUT), Lab() as lab:
        for transport in ("websocket", "sse", "longpoll"):
            async with Tap(lab.url) as tap:
                async with make_client(transport, tap.url) as conn:
                    for n in range(5):
                        await conn.request("echo", {"n": n, "text": "grüße"})
                    await conn.join_room("r")
                    answered = asyncio.Event()
                    conn.on("chat", lambda message, answered=answered: answered.set())
                    await conn.send("chat", "to myself", room_id="r")
                    await answered.wait()
                    while True:  # until what the tap has forwarded is read by the client too
                        await tap.quiet()
                        stats = conn.stats
                        splits = [split_traffic(bytes(c.up), bytes(c.down)) for c in tap.connections]
                        seen = [sum(split[side].payload_bytes for split in splits) for side in (0, 1)]
                        if seen[1] <= stats.bytes_in:
                            break
                assert seen == [stats.bytes_out, stats.bytes_in], transport
                assert all(half.open_bytes == 0 for split in splits for half in split)
                for connection, split in zip(tap.connections, splits, strict=True):
                    assert split[0].total_bytes >= len(connection.up) - 30  # the farewell comes later
                    assert split[1].total_bytes >= len(connection.down) - 30


@example([b"x" * size for size in (125, 126, 65_535, 65_536)], 0)
@given(st.lists(st.binary(max_size=70_000), max_size=4), st.integers(0, 200))
def test_frames_are_found_at_any_cut(payloads: list[bytes], cut: int):
    data = b"".join(websocket_frame(TEXT, payload) for payload in payloads)
    assert [frame.length for frame in frames(data)] == [len(payload) for payload in payloads]
    left = max(0, len(data) - cut)
    assert frames(data[:left]) == [frame for frame in frames(data) if frame.end <= left]


POLL = b'{"messages":[{"type":"a"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(POLL)


def test_an_interim_response_and_one_without_a_body_shift_no_pairs():
    up = b"HEAD /poll HTTP/1.1\r\n\r\nGET /poll HTTP/1.1\r\n\r\n"
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    down = ANSWER + interim + ANSWER + POLL
    _, split = split_traffic(up, down)
    assert (split.messages, split.payload_bytes, split.open_bytes) == (1, len(b'{"type":"a"}'), 0)
    assert split.total_bytes == len(down)


@pytest.mark.parametrize(
    ("up", "down"), [(b"\x16\x03\x01\x02\x00", b""), (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x03\x00")]
)
def test_what_is_no_http_is_one_error_of_ours(up: bytes, down: bytes):
    with pytest.raises(MessageError, match=r"expected HTTP/1\.x"):
        split_traffic(up, down)
