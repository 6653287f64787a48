from __future__ import annotations

from rtlab.protocol.message_format import Message
from rtlab.server.frames_encoded_once import EncodedFrame, RoomPosition
from rtlab.server.sinks.write_to_event_stream import EventStreamSink
from tests.server.sinks.transports import Transport

NEWS = EncodedFrame(Message("news", "hi"))


async def test_an_event_carries_the_cursor_after_it() -> None:
    transport = Transport()
    positions = {"a": RoomPosition("a", "e", 1), "b": RoomPosition("b", "e", 9)}
    sink = EventStreamSink(transport, "s", positions, chunked=False)
    sink.write(EncodedFrame(Message("news", 1), (RoomPosition("a", "e", 2),)), 5)
    sink.write(EncodedFrame(Message("news", 2), (RoomPosition("b", "", None),)), 6)
    assert transport.written == [
        b'event: news\ndata: {"type":"news","payload":1}\nid: s.5~a:e:2~b:e:9\n\n',
        b'event: news\ndata: {"type":"news","payload":2}\nid: s.6~a:e:2\n\n',
    ]
    sink.heartbeat()
    assert transport.written[-1] == b": heartbeat\n\n"
    sink.close(1012)
    sink.write(NEWS, 7)
    assert len(transport.written) == 3
    assert sink.ended.done()


async def test_chunks_are_those_of_http_1_1() -> None:
    transport = Transport()
    sink = EventStreamSink(transport, "s", {})
    sink.write(NEWS, 1)
    size, _, rest = transport.written[0].partition(b"\r\n")
    assert len(rest) == int(size, 16) + 2
    assert rest.endswith(b"id: s.1\n\n\r\n")
