"""WebRTC against a stub server: what the transport owes a connection, without the hub."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiortc import RTCDataChannel, RTCSessionDescription
from aiortc.rtcsctptransport import WEBRTC_STRING

from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.transports import webrtc_transport
from rtlab.client.transports.webrtc_transport import WebRTCTransport
from rtlab.errors import ConnectFailed, MessageError, MessageTooLarge, TransportClosed
from rtlab.protocol.http_headers import PROTOCOL, PROTOCOL_FIELD
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK, codec_for
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.webrtc.data_channel_framing_and_pings import DataLink
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection


class StubServer:
    """Answers offers, says welcome, echoes. `links` are its ends of the channels."""

    def __init__(self) -> None:
        self.links: list[DataLink] = []
        self.offers: list[dict[str, Any]] = []
        self.peers: list[LoopbackPeerConnection] = []
        self.on_frame: Callable[[DataLink, str | bytes], None] = lambda link, frame: link.send(frame)
        self.greeting: str | bytes | None = ""  # in place of the welcome; None stays silent
        self.mark: dict[str, str] = {}
        self.change_answer: Callable[[str], str] = lambda sdp: sdp
        self.respond: Callable[[], web.Response] | None = None
        self.url = ""

    async def offer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.offers.append({**body, **request.query})
        if self.respond is not None:
            return self.respond()
        peer = LoopbackPeerConnection()
        self.peers.append(peer)
        peer.on("datachannel", lambda channel: self._opened(peer, channel))
        await peer.setRemoteDescription(RTCSessionDescription(sdp=body["sdp"], type="offer"))
        await peer.setLocalDescription()
        answer = {"sdp": self.change_answer(peer.localDescription.sdp), "type": "answer"}
        return web.json_response(answer, headers=self.mark)

    def _opened(self, peer: LoopbackPeerConnection, channel: RTCDataChannel) -> None:
        link = DataLink(peer, channel, lambda frame: self.on_frame(link, frame), lambda error: None)
        self.links.append(link)
        if self.greeting:
            link.send(self.greeting)
        elif self.greeting is not None:
            codec = codec_for(channel.protocol)
            payload = {"clientId": "c", "session": f"s{len(self.links)}", "seq": 0, "resumed": False}
            data = codec.encode(Message("welcome", payload))
            link.send(data if codec.binary else data.decode())


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    stub = StubServer()
    app = web.Application()
    app.router.add_post("/rtc/offer", stub.offer)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stub
    for peer in stub.peers:
        await peer.close()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def opened(server: StubServer, **options: Any) -> AsyncIterator[WebRTCTransport]:
    transport = WebRTCTransport(server.url, **options)
    welcome = await transport.open(Resume())
    assert welcome is not None
    assert welcome.type == "welcome"
    try:
        yield transport
    finally:
        await transport.close()


async def bounded(awaitable: Any, seconds: float = 20.0) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_messages_travel_both_ways_and_are_counted(server: StubServer, codec: Any) -> None:
    async with opened(server, codec=codec) as transport:
        before = transport.bytes_in
        message = Message("chat", {"text": "grüß dich €", "n": [1, 2.5, None]}, id="1")
        await transport.send(message)
        assert await bounded(transport.receive()) == message
        assert transport.bytes_in - before == transport.bytes_out == len(codec.encode(message))


async def test_reliable_messages_arrive_in_order(server: StubServer) -> None:
    async with opened(server) as transport:
        for n in range(300):
            await transport.send(Message("n", n))
        assert [(await bounded(transport.receive())).payload for _ in range(300)] == list(range(300))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (True, None, None)),
        ({"ordered": False}, (False, None, None)),
        ({"max_retransmits": 0}, (True, 0, None)),
        ({"ordered": False, "max_packet_life_time": 0.25}, (False, None, 250)),
    ],
)
async def test_the_server_sees_the_channel_that_was_asked_for(
    server: StubServer, options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    async with opened(server, **options):
        channel = server.links[0].channel
        assert (channel.ordered, channel.maxRetransmits, channel.maxPacketLifeTime) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_retransmits": 1, "max_packet_life_time": 1.0}, "got both"),
        ({"max_retransmits": -1}, "from 0 to 65,535"),
        ({"max_packet_life_time": 100.0}, "0.001 to 65.535"),
    ],
)
def test_impossible_options_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WebRTCChannel("http://127.0.0.1:1", **options)


async def test_a_url_that_is_not_http_is_refused() -> None:
    with pytest.raises(ConnectFailed, match="http://") as caught:
        await bounded(WebRTCTransport("ftp://127.0.0.1:1").open(Resume()))
    assert not caught.value.retryable


async def test_only_loopback_is_offered(server: StubServer) -> None:
    async with opened(server):
        candidates = [line for line in server.offers[0]["sdp"].splitlines() if "candidate:" in line]
        assert candidates
        assert all(line.split()[4] == "127.0.0.1" for line in candidates)
        answer = server.peers[0].localDescription.sdp
        assert all(line.split()[4] == "127.0.0.1" for line in answer.splitlines() if "candidate:" in line)


async def test_large_messages_pass_up_to_the_servers_limit_and_are_refused_above(server: StubServer) -> None:
    async with opened(server) as transport:
        assert transport.max_message_bytes == 262_144
        overhead = len(JSON.encode(Message("big", "")))
        fits = Message("big", "x" * (262_144 - overhead))
        await transport.send(fits)
        assert await bounded(transport.receive()) == fits
        with pytest.raises(MessageTooLarge, match="262,145 bytes, over the limit of 262,144"):
            await transport.send(Message("big", "x" * (262_145 - overhead)))
        await transport.send(Message("still", "alive"))
        assert (await bounded(transport.receive())).payload == "alive"


@pytest.mark.parametrize("first", ['{"type":"hello"}', '{"type":"welcome"}', "hello", b"\xff"])
async def test_a_foreign_servers_first_message_is_delivered(server: StubServer, first: str | bytes) -> None:
    server.greeting = first
    transport = WebRTCTransport(server.url)
    assert await bounded(transport.open(Resume())) is None
    try:
        await transport.send(Message("second"))
        received: list[Any] = []
        for _ in range(2):
            try:
                received.append((await bounded(transport.receive())).type)
            except MessageError:
                received.append(MessageError)
        expected = JSON.decode(first).type if isinstance(first, str) and first[0] == "{" else MessageError
        assert received == [expected, "second"]
    finally:
        await transport.close()


UNRELIABLE = {"ordered": False, "max_retransmits": 0}


@pytest.mark.parametrize("options", [{}, UNRELIABLE], ids=["reliable", "unreliable"])
async def test_a_foreign_server_may_stay_silent(server: StubServer, options: dict[str, Any]) -> None:
    server.greeting = None
    transport = WebRTCTransport(server.url, **options)
    assert await bounded(transport.open(Resume())) is None
    await transport.send(Message("echoed"))
    assert (await bounded(transport.receive())).type == "echoed"
    await transport.close()


@pytest.mark.parametrize(
    ("mark", "waits"), [({PROTOCOL_FIELD: PROTOCOL}, True), ({}, False)], ids=["rtlab", "foreign"]
)
async def test_on_an_unreliable_channel_only_an_rtlab_servers_welcome_may_be_late(
    server: StubServer, monkeypatch: pytest.MonkeyPatch, mark: dict[str, str], waits: bool
) -> None:
    monkeypatch.setattr(webrtc_transport, "FOREIGN_AFTER", 0.05)
    server.greeting, server.mark = '{"type":"early"}', mark
    transport = WebRTCTransport(server.url, **UNRELIABLE)
    opening = asyncio.ensure_future(transport.open(Resume()))
    await bounded(_until(lambda: opening.done() or transport.heard > 0))
    await asyncio.wait((opening,), timeout=0.2)
    assert opening.done() is not waits
    if waits:
        server.links[0].send('{"type":"welcome","payload":{"session":"s"}}')
    assert (await bounded(opening) is not None) is waits
    assert (await bounded(transport.receive())).type == "early"
    await transport.close()


@pytest.mark.parametrize(("limit", "works"), [("-1", True), ("nonsense", True), ("0", True), ("10", False)])
async def test_an_odd_message_limit_in_the_answer(server: StubServer, limit: str, works: bool) -> None:
    server.change_answer = lambda sdp: re.sub("max-message-size:[0-9]+", f"max-message-size:{limit}", sdp)
    transport = WebRTCTransport(server.url)
    if not works:
        with pytest.raises(ConnectFailed, match="max-message-size:10") as caught:
            await bounded(transport.open(Resume()))
        assert not caught.value.retryable
        return
    assert await bounded(transport.open(Resume())) is not None
    await transport.send(Message("small"))
    assert (await bounded(transport.receive())).type == "small"
    await transport.close()


async def test_an_answer_without_a_fingerprint_is_of_no_use(server: StubServer) -> None:
    server.change_answer = lambda sdp: re.sub(r"a=fingerprint.*\r\n", "", sdp)
    with pytest.raises(ConnectFailed, match="expected a=fingerprint") as caught:
        await bounded(WebRTCTransport(server.url).open(Resume()))
    assert not caught.value.retryable


async def test_one_unreadable_frame_does_not_end_the_stream(server: StubServer) -> None:
    async with opened(server) as transport:
        server.links[0].send("{")
        server.links[0].send('{"type":"fine"}')
        with pytest.raises(MessageError):
            await bounded(transport.receive())
        assert (await bounded(transport.receive())).type == "fine"


async def test_text_that_is_not_utf_8_ends_the_connection_for_good(
    server: StubServer, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[tuple[int, bool, bool]] = []
    conn = WebRTCChannel(server.url, reconnect_interval=0.01)
    conn.on("disconnected", lambda event: ends.append((event.code, event.clean, event.will_reconnect)))
    async with conn:
        channel: Any = server.links[0].channel
        await channel.transport._send(channel.id, WEBRTC_STRING, b"\xff\xfe")
        await bounded(_until(lambda: bool(ends and server.links[0].ended)))
        ended = server.links[0].ended
    assert ends == [(1007, False, False)]
    assert ended is not None
    assert ended.code == 1007, "the server has been told"
    assert caplog.records == []


async def test_ping_measures_a_round_trip_and_stays_out_of_the_messages(server: StubServer) -> None:
    async with opened(server) as transport:
        seconds = [await bounded(transport.ping()) for _ in range(20)]
        assert all(0 < s < 1 for s in seconds)
        await transport.send(Message("after"))
        assert (await bounded(transport.receive())).type == "after"


async def test_a_slow_reader_stops_the_sender(server: StubServer) -> None:
    total, size = 300, 10_000
    async with opened(server) as transport:
        link = server.links[0]
        for n in range(total):
            link.send(JSON.encode(Message("n", [n, "x" * size])).decode())
        with pytest.raises(TimeoutError):
            await bounded(_until(lambda: link.buffered_bytes == 0), 1.0)
        assert transport._queue is not None
        assert len(transport._queue) < total / 2, "reading went on although nobody took messages"
        received = [(await bounded(transport.receive(), 30)).payload[0] for _ in range(total)]
        assert received == list(range(total))


async def test_a_sender_waits_while_its_channel_is_full(server: StubServer) -> None:
    async with opened(server) as transport:
        server.links[0].pause()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await transport.send(Message("x", "y" * 50_000))
                sent += 1

        task = asyncio.ensure_future(flood())
        await bounded(_until(lambda: sent > 10))
        for _ in range(50):
            await asyncio.sleep(0.002)
        stuck_at = sent
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert sent == stuck_at < 60
        server.on_frame = lambda link, frame: None
        server.links[0].resume()
        await bounded(_until(lambda: sent > stuck_at), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_the_servers_close_code_and_reason_arrive_after_its_messages(server: StubServer) -> None:
    async with opened(server) as transport:
        link = server.links[0]
        for n in range(100):
            link.send(f'{{"type":"n","payload":{n}}}')
        closing = asyncio.ensure_future(link.close(1012, "restart"))
        assert [(await bounded(transport.receive())).payload for _ in range(100)] == list(range(100))
        with pytest.raises(TransportClosed) as caught:
            await bounded(transport.receive())
        assert (caught.value.code, caught.value.reason, caught.value.clean) == (1012, "restart", True)
        await bounded(closing)
        with pytest.raises(TransportClosed):
            await transport.send(Message("late"))
        with pytest.raises(TransportClosed):
            await transport.ping()


async def test_our_close_reaches_the_server_with_its_code(server: StubServer) -> None:
    async with opened(server) as transport:
        await bounded(transport.close(4000, "done"))
        ended = server.links[0].ended
        assert ended is not None
        assert (ended.code, ended.reason, ended.clean) == (4000, "done", True)


async def test_a_server_that_vanishes_shows_as_1006(server: StubServer) -> None:
    async with opened(server) as transport:
        waiting = asyncio.ensure_future(transport.receive())
        server.links[0].abort()
        with pytest.raises(TransportClosed) as caught:
            await bounded(waiting)
        assert caught.value.code == 1006
        assert not caught.value.clean


#: Three seconds after the answer, by the server's own clock.
IN_3_S = {"Date": "Tue, 15 Nov 1994 08:12:31 GMT", "Retry-After": "Tue, 15 Nov 1994 08:12:34 GMT"}


@pytest.mark.parametrize(
    ("response", "retryable", "words"),
    [
        (web.Response(status=503, text="full", headers={"Retry-After": "3"}), True, r"HTTP 503 \(full\)"),
        (web.Response(status=503, text="full", headers=IN_3_S), True, r"HTTP 503 \(full\)"),
        (web.Response(status=403, text="origin"), False, r"HTTP 403 \(origin\)"),
        (web.Response(text="<html>"), False, "does not speak"),
    ],
    ids=["503", "503 with a date", "403", "html"],
)
async def test_a_refused_offer_says_why(
    server: StubServer, response: web.Response, retryable: bool, words: str
) -> None:
    server.respond = lambda: response
    with pytest.raises(ConnectFailed, match=words) as caught:
        await bounded(WebRTCTransport(server.url).open(Resume()))
    assert caught.value.retryable is retryable
    if response.status == 503:
        assert caught.value.retry_after == 3


async def test_a_refused_port_says_so() -> None:
    with pytest.raises(ConnectFailed, match="is the server running"):
        await bounded(WebRTCTransport("http://127.0.0.1:1").open(Resume()))


async def test_giving_up_on_opening_leaves_nothing_behind(server: StubServer) -> None:
    server.greeting = None
    before = asyncio.all_tasks()
    opening = asyncio.create_task(WebRTCTransport(server.url).open(Resume()))
    await bounded(_until(lambda: server.links != []))  # all that is missing is the welcome
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await server.peers[0].close()
    assert _ours(before) == set()


def _ours(before: set[asyncio.Task[Any]]) -> set[Any]:
    mine = {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)}
    return {task.get_coro() for task in mine}


async def test_only_a_reliable_ordered_channel_asks_to_resume(server: StubServer) -> None:
    for ordered in (True, False):
        transport = WebRTCTransport(server.url, ordered=ordered)
        await transport.open(Resume("me", "s1", 7))
        await transport.close()
    assert server.offers[0]["clientId"] == server.offers[1]["clientId"] == "me"
    assert (server.offers[0]["session"], server.offers[0]["seq"]) == ("s1", "7")
    assert "session" not in server.offers[1]


async def test_a_connection_over_it_sends_receives_and_reconnects(server: StubServer) -> None:
    events: list[str] = []
    conn = WebRTCChannel(server.url, reconnect_interval=0.01)
    conn.on("disconnected", lambda event: events.append(f"{event.code}"))
    conn.on("connected", lambda event: events.append(event.transport))
    async with conn:
        assert (await conn.request("echo", {"n": 1})).payload == {"n": 1}
        await server.links[0].close(1012, "restart")
        await bounded(_until(lambda: events.count("webrtc") == 2))
        assert (await conn.request("echo", {"n": 2})).payload == {"n": 2}
        assert await conn.ping() > 0
    assert events == ["webrtc", "1012", "webrtc", "1000"]


def test_nothing_is_left_after_close(caplog: pytest.LogCaptureFixture) -> None:
    """In asyncio's debug mode: no task, no thread, no warning, no log record."""
    threads = set(threading.enumerate())
    problems: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        async with contextlib.asynccontextmanager(server.__wrapped__)() as stub:
            before = asyncio.all_tasks()
            async with WebRTCChannel(stub.url) as conn:
                for n in range(20):
                    await conn.request("echo", n)
                await conn.send("last", "x" * 100_000)
            for peer in stub.peers:
                await peer.close()
            # aiortc asks for a close of its own, which ends a turn of the loop after ours.
            await bounded(_until(lambda: _ours(before) == set()))
            dropped = WebRTCTransport(stub.url)
            await dropped.open(Resume())
            await dropped.send(Message("x", "y" * 200_000))
            dropped.abort()
            dropped.abort()
            await dropped.closed()
            await stub.peers[-1].close()
            assert _ours(before) == set()

    with caplog.at_level(logging.WARNING):
        asyncio.run(main(), debug=True)
        gc.collect()
    assert problems == []
    assert [r.getMessage() for r in caplog.records if "took" not in r.getMessage()] == []
    assert set(threading.enumerate()) == threads
