from __future__ import annotations

import asyncio

from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from rtlab.protocol.message_format import Message
from rtlab.protocol.permessage_deflate import Deflate
from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.sinks.sink_interface import HIGH_WATER_BYTES, MAX_HELD_BYTES
from rtlab.server.sinks.write_to_websocket import WebSocketSink
from tests.server.sinks.transports import Transport

NEWS = EncodedFrame(Message("news", "hi"))


def test_a_frame_is_written_as_it_is_to_every_websocket() -> None:
    transports = [Transport(), Transport()]
    for transport in transports:
        WebSocketSink(transport, JSON).write(NEWS, 1)
    assert transports[0].written == transports[1].written == [NEWS.websocket(JSON)]
    WebSocketSink(transports[0], MSGPACK).write(NEWS, 1)
    assert transports[0].written[1] == NEWS.websocket(MSGPACK)


def test_a_compressed_frame_is_made_once_for_all_who_keep_no_context() -> None:
    news = EncodedFrame(Message("news", "again and " * 50))
    alone = Deflate(server_no_context_takeover=True)

    def written(deflate: Deflate) -> bytes:
        transport = Transport()
        WebSocketSink(transport, JSON, deflate=deflate).write(news, 1)
        return transport.written[0]

    first = written(alone)
    assert written(Deflate.parse(str(alone))) == first  # the same agreement, read twice
    assert len(news.websockets) == 1
    written(Deflate(server_no_context_takeover=True, server_max_window_bits=9))
    assert len(news.websockets) == 2
    # With context each connection compresses for itself.
    assert written(Deflate()) == first
    assert len(news.websockets) == 2
    assert len(first) < 60


def test_what_does_not_get_smaller_is_sent_as_it_is() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON, deflate=Deflate(server_no_context_takeover=True))
    sink.write(NEWS, 1)
    assert transport.written == [NEWS.websocket(JSON)]


async def test_a_sink_is_congested_while_its_transport_holds_much() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON)
    transport.held = HIGH_WATER_BYTES
    sink.write(NEWS, 1)
    assert not sink.congested
    transport.held += 1
    sink.write(NEWS, 2)
    assert sink.congested
    told = asyncio.Event()
    sink.when_writable(told.set)
    transport.held = 0
    transport.protocol.writable.set()
    await asyncio.wait_for(told.wait(), 1)
    assert not sink.congested


async def test_a_client_that_says_nothing_after_a_ping_is_ended() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON)
    sink.heartbeat()
    sink.heard()
    sink.heartbeat()
    sink.not_reading()  # it cannot have heard the answer
    sink.heartbeat()
    sink.heartbeat()
    assert transport.written == 4 * [b"\x89\x00"]
    sink.heard()
    sink.heartbeat()
    assert not transport.aborted
    sink.heartbeat()
    assert transport.aborted


def test_a_client_that_takes_nothing_while_it_is_not_read_from_is_ended() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON)
    sink.write(NEWS, 1)
    sink.not_reading()
    for transport.held in (500, 400, 0, 0, 300, 200):  # it takes some, all, and again some
        assert sink.heartbeat()
        assert not transport.aborted
    sink.heard()
    assert sink.heartbeat()
    sink.not_reading()
    assert sink.heartbeat()  # it has had no interval in which to take anything
    transport.held += 2  # the ping, of which it takes nothing either
    assert not sink.heartbeat()
    assert transport.aborted


async def test_the_session_and_the_reader_both_hear_that_a_connection_takes_more() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON)
    told = [asyncio.Event() for _ in range(3)]
    sink.when_writable(told[0].set)
    sink.when_writable(lambda: (told[1].set(), sink.when_writable(told[2].set)))
    transport.protocol.writable.set()
    async with asyncio.timeout(5):
        for each in told:
            await each.wait()


async def test_after_a_close_frame_nothing_is_written_and_silence_is_bounded() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON, close_timeout=0.01)
    sink.close(1012, "bye")
    sink.close(1008)
    sink.write(NEWS, 1)
    assert transport.written == [b"\x88\x05\x03\xf4bye"]
    assert not transport.aborted
    await asyncio.sleep(0.02)
    assert transport.aborted


async def test_the_frames_of_one_turn_leave_in_one_write() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON, turns=Turns())
    for position in range(1, 4):
        sink.write(NEWS, position)
    assert transport.written == []
    assert sink.queued_bytes == 3 * len(NEWS.websocket(JSON))
    await asyncio.sleep(0)
    assert transport.written == [3 * NEWS.websocket(JSON)]
    sink.write(NEWS, 4)
    sink.close(1012)
    assert transport.written[1:] == [NEWS.websocket(JSON) + b"\x88\x02\x03\xf4"]


async def test_many_bytes_do_not_wait_for_the_end_of_the_turn() -> None:
    transport = Transport()
    sink = WebSocketSink(transport, JSON, turns=Turns())
    sink.write(EncodedFrame(Message("news", "x" * MAX_HELD_BYTES)), 1)
    assert len(transport.written) == 1


async def test_a_burst_that_is_alone_leaves_at_once_and_never_in_front_of_what_is_held() -> None:
    transport, turns = Transport(), Turns()
    sink = WebSocketSink(transport, JSON, turns=turns)
    burst, frame = Burst(NEWS), NEWS.websocket(JSON)
    sink.write_burst(burst, 1)
    assert transport.written == []  # it is not alone
    burst.alone = True
    sink.write_burst(burst, 2)
    assert transport.written == []  # behind the one that is held
    await asyncio.sleep(0)
    assert transport.written == [frame * 2]
    sink.write_burst(burst, 3)
    assert transport.written == [frame * 2, frame]
    assert sink.written_bytes == 3 * len(frame)
    transport.held = HIGH_WATER_BYTES + 1
    sink.write_burst(burst, 4)
    assert sink.congested
    sink.close(1000)
    sink.write_burst(burst, 5)
    assert len(transport.written) == 4  # with the close frame, and nothing behind it
    await asyncio.sleep(0)
    assert len(transport.written) == 4
