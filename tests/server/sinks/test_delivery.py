from __future__ import annotations

import asyncio
import zlib

import pytest

from rtlab.protocol.codecs import JSON, MSGPACK
from rtlab.protocol.messages import Message
from rtlab.server.frames import Frame, Mark
from rtlab.server.sinks.delivery import Deflate, EventStreamSink, PollSink, WebSocketSink


class Transport(asyncio.Transport):
    """Keeps what is written; `held` is what a slow client has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.held = 0
        self.aborted = self.closed = False

    def is_closing(self) -> bool:
        return self.aborted or self.closed

    def get_write_buffer_size(self) -> int:
        return self.held

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True


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
    transport.held = 11
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


@pytest.mark.parametrize("takeover", [True, False])
def test_deflate_is_what_a_receiver_inflates(takeover: bool) -> None:
    deflate = Deflate(12, takeover=takeover)
    inflate = zlib.decompressobj(-12)
    messages = [b"again and again" * 20] * 3
    out = [deflate(message) for message in messages]
    for data, message in zip(out, messages, strict=True):
        receiver = inflate if takeover else zlib.decompressobj(-12)
        assert receiver.decompress(data + b"\x00\x00\xff\xff") == message
    # Only with takeover does a repeat cost next to nothing.
    assert (len(out[1]) < len(out[0])) is takeover


async def test_an_event_carries_the_cursor_after_it() -> None:
    transport = Transport()
    marks = {"a": Mark("a", "e", 1), "b": Mark("b", "e", 9)}
    sink = EventStreamSink(transport, "s", marks, limit_bytes=10, chunked=False)
    sink.write(Frame(Message("news", 1), (Mark("a", "e", 2),)), 5)
    sink.write(Frame(Message("news", 2), (Mark("b", "", None),)), 6)
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
    sink = EventStreamSink(transport, "s", {}, limit_bytes=10)
    sink.write(NEWS, 1)
    size, _, rest = transport.written[0].partition(b"\r\n")
    assert len(rest) == int(size, 16) + 2
    assert rest.endswith(b"id: s.1\n\n\r\n")


async def test_a_poll_wakes_for_a_frame_a_close_or_the_time_limit() -> None:
    sink = PollSink()
    await sink.wait(0.001)
    assert sink.code is None
    sink.write(NEWS, 1)
    sink.write(NEWS, 2)
    async with asyncio.timeout(1):
        await sink.wait(60)
    sink = PollSink()
    sink.close(4500)
    async with asyncio.timeout(1):
        await sink.wait(60)
    assert sink.code == 4500
