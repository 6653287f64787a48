"""The server's WebRTC side, with the real server and real clients on loopback."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import aioice.ice
import httpx
import pytest
from aiortc import RTCSessionDescription
from aiortc.rtcsctptransport import WEBRTC_DCEP, WEBRTC_STRING

from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.transports.webrtc_transport import WebRTCTransport
from rtlab.errors import ConnectFailed, MessageTooLarge, TransportClosed
from rtlab.protocol.http_headers import PROTOCOL, PROTOCOL_FIELD
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.endpoints import webrtc_peers
from rtlab.server.endpoints.webrtc_offer import PEERS
from rtlab.server.endpoints.webrtc_peers import RtcPeers
from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from rtlab.server.sessions.session_limits import SessionLimits
from rtlab.server.sessions.slow_consumer_queue import OverflowOptions
from rtlab.server.sinks.write_to_data_channel import DataChannelSink
from rtlab.server.stats_report import read_stats
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection


class Lab:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.node = server.node
        self.url = f"http://127.0.0.1:{server.port}"
        self.ws_url = f"ws://127.0.0.1:{server.port}/ws"

    @property
    def peers(self) -> RtcPeers:
        peers = self.server._runner.app[PEERS].peers
        assert peers is not None
        return peers


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    server = Server(Node(Options(token="t", sessions=SessionLimits(ttl=5.0), stop_window=0.05)))
    await server.start()
    before = asyncio.all_tasks()
    lab = Lab(server)
    yield lab
    await server.stop()
    left = [repr(task) for task in asyncio.all_tasks() - before if "webrtc" in repr(task)]
    assert left == []


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def opened(lab: Lab, resume: Resume | None = None, **options: Any) -> tuple[WebRTCTransport, Message]:
    transport = WebRTCTransport(lab.url, **options)
    welcome = await transport.open(resume or Resume())
    assert welcome is not None
    return transport, welcome


async def receive(transport: WebRTCTransport, kind: str) -> Message:
    async with asyncio.timeout(20):
        while True:
            message = await transport.receive()
            if message.type == kind:
                return message


async def test_an_answer_is_marked_so_that_a_client_waits_for_a_late_welcome(lab: Lab) -> None:
    assert (await offer(lab)).headers[PROTOCOL_FIELD] == PROTOCOL


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_welcome_and_echo(lab: Lab, codec: Any) -> None:
    async with WebRTCChannel(lab.url, codec=codec) as conn:
        assert conn.welcome is not None
        assert conn.welcome.payload["session"]
        answer = await conn.request("echo", {"text": "grüß"})
        assert answer.payload == {"text": "grüß"}
        assert read_stats(lab.node)["connections"]["webrtc"] == 1
    await until(lambda: read_stats(lab.node)["connections"]["webrtc"] == 0)


async def test_rooms_reach_both_transports_in_one_order_with_one_offset(lab: Lab) -> None:
    seen: dict[str, list[tuple[Any, ...]]] = {"ws": [], "rtc": []}
    async with WebSocketConnection(lab.ws_url) as ws, WebRTCChannel(lab.url) as rtc:
        for name, conn in (("ws", ws), ("rtc", rtc)):
            conn.on("chat", lambda m, to=seen[name]: to.append((m.offset, m.epoch, m.payload, m.client_id)))
            await conn.join_room("r")
        await asyncio.gather(
            *(ws.send("chat", ["ws", n], room_id="r") for n in range(50)),
            *(rtc.send("chat", ["rtc", n], room_id="r") for n in range(50)),
        )
        await until(lambda: len(seen["ws"]) == len(seen["rtc"]) == 100)
    assert seen["ws"] == seen["rtc"]
    assert [entry[0] for entry in seen["ws"]] == list(range(1, 101))


async def test_a_lost_connection_resumes_without_a_gap(lab: Lab) -> None:
    first, welcome = await opened(lab)
    session, client_id = welcome.payload["session"], welcome.payload["clientId"]
    for n in range(10):
        await first.send(Message("echo", n))
    got = [(await receive(first, "echo")).payload for _ in range(4)]
    # The last six count as not handled.
    first.abort()
    await first.closed()
    await until(lambda: read_stats(lab.node)["connections"]["webrtc"] == 0)
    second, again = await opened(lab, Resume(client_id, session, len(got)))
    assert again.payload["resumed"] is True
    assert again.payload["seq"] == 4
    assert [(await receive(second, "echo")).payload for _ in range(6)] == [4, 5, 6, 7, 8, 9]
    await second.close()


async def test_a_new_connection_takes_the_session_over(lab: Lab) -> None:
    first, welcome = await opened(lab)
    resume = Resume(welcome.payload["clientId"], welcome.payload["session"], 0)
    second, again = await opened(lab, resume)
    assert again.payload["resumed"] is True
    with pytest.raises(Exception, match="4500"):
        await receive(first, "never")
    await second.send(Message("echo", 1))
    assert (await receive(second, "echo")).payload == 1
    await second.close()
    await first.close()


async def test_a_clean_goodbye_ends_the_session_and_a_lost_one_keeps_it(lab: Lab) -> None:
    done, _ = await opened(lab)
    await done.close(1000)
    await until(lambda: len(lab.node.sessions) == 0)
    lost, _ = await opened(lab)
    lost.abort()
    await until(lambda: read_stats(lab.node)["connections"]["webrtc"] == 0)
    assert len(lab.node.sessions) == 1
    await lost.closed()


@pytest.mark.parametrize("options", [{"ordered": False}, {"max_retransmits": 0}])
async def test_unreliable_channels_work_and_begin_new_sessions(lab: Lab, options: dict[str, Any]) -> None:
    first, welcome = await opened(lab, **options)
    await first.send(Message("echo", 1))
    assert (await receive(first, "echo")).payload == 1
    first.abort()
    await first.closed()

    class Pushy(WebRTCTransport):
        reliable = True  # asks to resume all the same

    second = Pushy(lab.url, **options)
    again = await second.open(Resume(None, welcome.payload["session"], 0))
    assert again is not None
    assert again.payload["resumed"] is False
    await second.close()


async def offer(lab: Lab) -> httpx.Response:
    """Send an offer, and do not go on."""
    peer = LoopbackPeerConnection()
    peer.createDataChannel("x")
    await peer.setLocalDescription()
    body = {"sdp": peer.localDescription.sdp, "type": "offer"}
    await peer.close()
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(f"{lab.url}/rtc/offer", json=body)


@pytest.mark.parametrize(
    "change",
    [
        lambda sdp: "nonsense",
        lambda sdp: "",
        lambda sdp: sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
        lambda sdp: re.sub(r"a=ice-(ufrag|pwd).*\r\n", "", sdp),
        lambda sdp: re.sub(r"a=fingerprint.*\r\n", "", sdp),
        lambda sdp: re.sub(r"a=candidate.*\r\n", "a=candidate:garbage\r\n", sdp),
        lambda sdp: sdp.replace("a=setup:actpass", "a=setup:passive"),
        lambda sdp: sdp.replace("a=sctp-port:5000", "a=sctp-port:x"),
        lambda sdp: re.sub(r"a=sctp-port.*\r\n", "", sdp),
        lambda sdp: sdp.replace("a=sctp-port:5000", "a=sctp-port:99999"),
        lambda sdp: re.sub(r"(127\.0\.0\.1) \d+ typ", r"\1 99999 typ", sdp),
        lambda sdp: sdp + "a=junk\r\n" * 10_000,
    ],
    ids=[
        "nonsense",
        "empty",
        "audio",
        "no-ice",
        "no-dtls",
        "candidate",
        "setup",
        "port",
        "no-port",
        "large-port",
        "candidates-port",
        "huge",
    ],
)
async def test_a_bad_offer_never_breaks_the_server(
    lab: Lab, change: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    await opened_and_closed(lab)
    usual, lab.peers._open_timeout = lab.peers._open_timeout, 0.3
    peer = LoopbackPeerConnection()
    peer.createDataChannel("x")
    await peer.setLocalDescription()
    sdp = change(peer.localDescription.sdp)
    await peer.close()
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.post(f"{lab.url}/rtc/offer", json={"sdp": sdp, "type": "offer"})
    lab.peers._open_timeout = usual  # what follows is good, and may take its time
    assert response.status_code in (200, 400, 413), response.text
    if response.status_code != 200:
        assert response.json()["error"]["message"]
    async with WebRTCChannel(lab.url) as conn:
        await conn.request("echo", 1)
    await until(lambda: len(lab.peers) == 0)
    gc.collect()  # a task whose exception nobody has retrieved is logged when it is freed
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"sdp":"x","type":"answer"}',
        b'{"sdp":1,"type":"offer"}',
        b'{"sdp":"\xff","type":"offer"}',
        b'{"sdp":"x","type":"offer","more":' + b"[" * 12_000 + b"]" * 12_000 + b"}",
    ],
    ids=["empty", "cut", "list", "answer", "number", "latin", "deep"],
)
async def test_a_body_that_is_no_offer_is_refused(lab: Lab, body: bytes) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.post(f"{lab.url}/rtc/offer", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_offer"


@pytest.mark.parametrize("size", [40_000, 2_000_000])
async def test_an_offer_that_is_too_large_is_refused_with_a_reason(lab: Lab, size: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.post(f"{lab.url}/rtc/offer", content=b" " * size)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"


async def test_other_origins_and_bad_names_are_refused(lab: Lab) -> None:
    with pytest.raises(ConnectFailed, match="403"):
        await WebRTCTransport(lab.url, headers={"Origin": "http://evil.example"}).open(Resume())
    with pytest.raises(ConnectFailed, match="clientId"):
        await WebRTCTransport(lab.url).open(Resume("no spaces please"))


async def test_the_number_of_peers_is_limited(lab: Lab) -> None:
    first, _ = await opened(lab)
    lab.peers.max_peers = 1
    with pytest.raises(ConnectFailed, match="503") as caught:
        await opened(lab)
    assert caught.value.retryable
    assert caught.value.retry_after == 5
    await first.close()
    await until(lambda: len(lab.peers) == 0)
    again, _ = await opened(lab)
    await again.close()


async def test_an_offer_without_a_channel_is_dropped_in_time(lab: Lab) -> None:
    await opened_and_closed(lab)
    lab.peers._open_timeout = 1.0
    assert (await offer(lab)).status_code == 200
    assert len(lab.peers) == 1
    await until(lambda: len(lab.peers) == 0)


async def opened_and_closed(lab: Lab) -> None:
    transport, _ = await opened(lab)
    await transport.close()
    await until(lambda: len(lab.peers) == 0)


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
async def test_a_client_that_falls_silent_is_noticed_by_consent(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 2)
    transport, _ = await opened(lab)
    queue = transport._queue
    assert queue is not None
    if busy:
        await transport.send(Message("feed", {"rate": 2000, "size": 100, "count": 100_000}))
        await receive(transport, "feed")
    ice: Any = queue.link.channel.transport.transport.transport
    for protocol in ice.iceGatherer._connection._protocols:
        protocol.transport.abort()  # the socket is gone, and no goodbye was said
    await until(lambda: len(lab.peers) == 0, 10)
    assert read_stats(lab.node)["connections"]["webrtc"] == 0
    transport.abort()
    await transport.closed()
    gc.collect()  # a task that failed unseen complains when it is collected
    assert problems == []


async def test_a_client_that_does_not_read_is_cut_off_and_costs_nobody_else(lab: Lab) -> None:
    slow, _ = await opened(lab)
    queue = slow._queue
    assert queue is not None
    await slow.send(Message("join_room", {"roomId": "r"}))
    await receive(slow, "ack")
    queue.link.pause()
    async with WebSocketConnection(lab.ws_url) as ws:
        got: list[Message] = []
        ws.on("chat", got.append)
        await ws.join_room("r")
        published = 0
        async with asyncio.timeout(20):
            while lab.node.overflow.counts["disconnect"] == 0:
                await ws.request("chat", "x" * 50_000, room_id="r")
                published += 1
        await until(lambda: len(got) == published)
    await until(lambda: len(lab.peers) == 0)
    slow.abort()
    await slow.closed()


async def test_a_message_over_the_clients_limit_becomes_an_error_in_its_place(lab: Lab) -> None:
    async with WebSocketConnection(lab.ws_url) as ws:
        rtc, _ = await opened(lab)
        await rtc.send(Message("join_room", {"roomId": "r"}))
        await receive(rtc, "ack")
        await ws.join_room("r")
        await ws.request("chat", "x" * 300_000, room_id="r")
        await ws.request("chat", "small", room_id="r")
        error = await receive(rtc, "error")
        assert error.payload["code"] == "too_large"
        assert (error.room_id, error.offset) == ("r", 1)
        small = await receive(rtc, "chat")
        assert (small.payload, small.offset) == ("small", 2)
        await rtc.close()


async def test_who_reads_may_ask_for_much() -> None:
    # A small limit in place of many messages, which take seconds on a busy machine.
    server = Server(Node(Options(token="t", overflow=OverflowOptions(size_bytes=50_000), stop_window=0.0)))
    await server.start()
    async with WebRTCChannel(Lab(server).url) as conn:
        asking = (conn.request("echo", [n, "x" * 2000], timeout=30) for n in range(300))
        answers = await asyncio.gather(*asking)
        assert [answer.payload[0] for answer in answers] == list(range(300))
    assert server.node.overflow.counts["disconnect"] == 0
    await server.stop()


@pytest.mark.parametrize(
    ("size", "status"),
    [("-1", 400), ("1", 400), ("1199", 400), ("99999999999999999999", 200), ("x", 400), ("0", 200)],
)
async def test_odd_limits_of_a_clients_messages(lab: Lab, size: str, status: int) -> None:
    await opened_and_closed(lab)
    peer = LoopbackPeerConnection()
    peer.createDataChannel("x")
    await peer.setLocalDescription()
    sdp = re.sub(r"a=max-message-size:\d+", f"a=max-message-size:{size}", peer.localDescription.sdp)
    await peer.close()
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.post(f"{lab.url}/rtc/offer", json={"sdp": sdp, "type": "offer"})
    assert response.status_code == status, response.text
    async with WebRTCChannel(lab.url) as conn:
        await conn.request("echo", 1)


def test_what_cannot_even_be_replaced_ends_the_channel_and_never_recurses() -> None:
    async def main() -> None:
        ended: list[int] = []

        class Link:
            ended = None
            buffered_bytes = 0

            def send(self, frame: Any) -> None:
                raise MessageTooLarge(len(frame), 10)

            async def close(self, code: int, reason: str) -> None:
                ended.append(code)

        sink = DataChannelSink(Link(), JSON)  # type: ignore[arg-type]
        sink.write(EncodedFrame(Message("welcome", "x" * 100)), 1)
        await sink.closed()
        assert ended == [1009]

    asyncio.run(main())


async def test_five_unreadable_messages_end_the_connection(lab: Lab) -> None:
    transport, _ = await opened(lab)
    queue = transport._queue
    assert queue is not None
    for _ in range(5):
        queue.link.send("{")
    with pytest.raises(Exception, match="1008"):
        await receive(transport, "never")
    await transport.close()


@pytest.mark.parametrize("congested", [False, True])
async def test_text_that_is_not_utf_8_ends_the_connection_at_once(
    lab: Lab, caplog: pytest.LogCaptureFixture, congested: bool
) -> None:
    transport, _ = await opened(lab)
    queue = transport._queue
    assert queue is not None
    (client,) = lab.peers._tasks
    theirs = client._link
    assert theirs is not None
    if congested:  # the close frame waits behind these
        queue.link.pause()
        for _ in range(10):
            theirs.send(f'{{"type":"x","payload":"{"x" * 10_000}"}}')
    channel: Any = queue.link.channel
    await channel.transport._send(channel.id, WEBRTC_STRING, b"\xff\xfe")
    await until(lambda: theirs.ended is not None)
    await asyncio.sleep(0.05)
    queue.link.resume()
    with pytest.raises(TransportClosed, match="1007"):
        await receive(transport, "never")
    await transport.close()
    await until(lambda: read_stats(lab.node)["connections"]["webrtc"] == 0 and len(lab.peers) == 0)
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


@pytest.mark.parametrize("label", [b"\xff", "ä".encode()], ids=["malformed", "sound"])
async def test_a_channels_label_that_is_not_utf_8_drops_the_client_at_once(
    lab: Lab, caplog: pytest.LogCaptureFixture, label: bytes
) -> None:
    peer = LoopbackPeerConnection()
    channel = peer.createDataChannel("x" * len(label))
    sctp: Any = peer.sctp
    send = sctp._send

    async def with_label(stream: int, kind: int, data: bytes, *more: Any, **options: Any) -> None:
        await send(stream, kind, data[:12] + label if kind == WEBRTC_DCEP else data, *more, **options)

    sctp._send = with_label
    await peer.setLocalDescription()
    async with httpx.AsyncClient(trust_env=False) as http:
        body = {"sdp": peer.localDescription.sdp, "type": "offer"}
        answer = await http.post(f"{lab.url}/rtc/offer", json=body)
    await peer.setRemoteDescription(RTCSessionDescription(sdp=answer.json()["sdp"], type="answer"))
    if label == b"\xff":
        await until(lambda: channel.readyState == "closed" and len(lab.peers) == 0)
    else:
        await until(lambda: channel.readyState == "open")
    await peer.close()
    await until(lambda: len(lab.peers) == 0)
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


async def test_a_client_that_says_goodbye_with_a_reserved_code_gets_its_answer_too(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1006 in a close frame is the client's mistake, not a lost connection: the answer is on its way."""
    waits: list[float] = []
    wait = webrtc_peers._wait

    async def counted(event: asyncio.Event, seconds: float) -> None:
        waits.append(seconds)
        await wait(event, seconds)

    monkeypatch.setattr(webrtc_peers, "_wait", counted)
    transport, _ = await opened(lab)
    queue = transport._queue
    assert queue is not None
    queue.link.channel.send(b"\x08" + (1006).to_bytes(2, "big"))
    await until(lambda: len(lab.peers) == 0)
    assert waits[1:] == [webrtc_peers.LINGER]
    await transport.close()


async def test_an_unknown_protocol_is_refused_with_words(lab: Lab) -> None:
    class Odd:
        subprotocol = "rtlab.v9"
        binary = False
        encode = JSON.encode
        decode = JSON.decode

    with pytest.raises(ConnectFailed, match=r"1008.*expected one of"):
        await opened(lab, codec=Odd())


async def test_a_quiet_client_hears_the_servers_heartbeat() -> None:
    server = Server(Node(Options(token="t", heartbeat=0.05, stop_window=0.0)))
    await server.start()
    transport, _ = await opened(Lab(server))
    after_welcome = transport.heard
    await until(lambda: transport.heard > after_welcome)
    await transport.send(Message("echo", 1))
    assert (await receive(transport, "echo")).payload == 1, "pings are no messages"
    await transport.close()
    await server.stop()


async def test_a_stopping_server_says_so(lab: Lab) -> None:
    codes: list[int] = []
    conn = WebRTCChannel(lab.url, max_reconnect_attempts=0)
    conn.on("disconnected", lambda event: codes.append(event.code))
    async with conn:
        await lab.server.stop()
        await until(lambda: codes == [1012])


async def test_a_child_holds_nothing_of_clients_that_have_gone(start: Callable[..., Any]) -> None:
    """In the server's own process, on its own loop; what it says on stderr would fail the fixture."""
    child = start("--session-ttl", "0.2")

    async def visit(how: int) -> None:
        transport = WebRTCTransport(child.url)
        await transport.open(Resume())
        await transport.send(Message("echo", "x" * 20_000))
        await receive(transport, "echo")
        if how % 2:
            transport.abort()
            await transport.closed()
        else:
            await transport.close()

    async def stats() -> dict[str, Any]:
        return await asyncio.to_thread(child.stats)

    async def gone() -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (now := await stats())["connections"]["webrtc"] or now["sessions"]:
                await asyncio.sleep(0.02)
        return now

    await visit(0)  # imports aiortc
    before = await gone()
    for n in range(6):
        await asyncio.gather(visit(n), visit(n + 1))
    async with asyncio.timeout(20):
        while True:
            after = await gone()
            if after["tasks"] <= before["tasks"] and after["descriptors"] <= before["descriptors"]:
                break


def test_the_sink_is_idempotent_about_its_end() -> None:
    async def main() -> None:
        ended: list[Any] = []

        class Link:
            ended = None

            async def close(self, code: int, reason: str) -> None:
                ended.append((code, reason))

        sink = DataChannelSink(Link(), JSON)  # type: ignore[arg-type]
        sink.close(1012, "a")
        sink.close(1000, "b")
        await sink.closed()
        assert ended == [(1012, "a")]

    asyncio.run(main())
