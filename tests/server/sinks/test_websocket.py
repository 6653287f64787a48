from __future__ import annotations

import asyncio

from rtlab.protocol.codecs import JSON, MSGPACK
from rtlab.protocol.messages import Message
from rtlab.server.frames import Frame
from rtlab.server.sinks.base import MAX_QUEUE_FACTOR
from rtlab.server.sinks.websocket import WebSocketSink
from tests.server.sinks.transports import Transport

NEWS = Frame(Message("news", "hi"))


def test_a_frame_is_written_as_it_is_to_every_websocket() -> None:
    transports = [Transport(), Transport()]
    for transport in transports:
        WebSocketSink(transport, JSON, limit_bytes=10).write(NEWS, 1)
    assert transports[0].written == transports[1].written == [NEWS.websocket(JSON)]
    WebSocketSink(transports[0], MSGPACK, limit_bytes=10).write(NEWS, 1)
    assert transports[0].written[1] == NEWS.websocket(MSGPACK)


def test_a_client_is_cut_off_only_when_it_holds_more_than_the_limit_before_a_write() -> None:
    transport, cut = Transport(), [0]

    def count() -> None:
        cut[0] += 1

    sink = WebSocketSink(transport, JSON, limit_bytes=10, cut_off=count)
    transport.held = 10
    sink.write(Frame(Message("news", "x" * 1000)), 1)
    assert not transport.aborted
    transport.held = 10 * MAX_QUEUE_FACTOR + 1
    sink.write(NEWS, 2)
    sink.write(NEWS, 3)
    assert transport.aborted
    assert cut == [1]
    assert len(transport.written) == 1


async def test_after_a_close_frame_nothing_is_written_and_silence_is_bounded() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON, limit_bytes=10, close_timeout=0.01)
    sink.close(1012, "bye")
    sink.close(1008)
    sink.write(NEWS, 1)
    assert transport.written == [b"\x88\x05\x03\xf4bye"]
    assert not transport.aborted
    await asyncio.sleep(0.02)
    assert transport.aborted
