from __future__ import annotations

import asyncio

from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.sinks.write_to_waiting_poll import PollSink

NEWS = EncodedFrame(Message("news", "hi"))


async def test_a_poll_wakes_for_a_frame_a_close_or_the_time_limit() -> None:
    sink = PollSink()
    await sink.wait(0.001)
    assert sink.close_code is None
    sink.write(NEWS, 1)
    sink.write(NEWS, 2)
    async with asyncio.timeout(1):
        await sink.wait(60)
    sink = PollSink()
    sink.close(4500)
    async with asyncio.timeout(1):
        await sink.wait(60)
    assert sink.close_code == 4500
