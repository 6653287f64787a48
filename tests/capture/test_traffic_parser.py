from __future__ import annotations

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st

from rtlab.capture.tcp_tap import Tap
from rtlab.capture.traffic_parser import frames, split_traffic
from rtlab.client.client_factory_by_transport import make_client
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
