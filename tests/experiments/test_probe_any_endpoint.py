"""A probe of the lab's own three endpoints, of what is none, and of what does not answer."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection, serve

from rtlab.cli import main as cli
from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import FrameReader, raw_frame
from rtlab.experiments.endpoint.record_round_trips import follow
from rtlab.experiments.endpoint.timed_connect_steps import insecure_tls
from rtlab.experiments.probe_any_endpoint import probe
from rtlab.lab.certificates import Certificates
from rtlab.lab.lab import Lab
from rtlab.measure.recorder import Recorder
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG, TEXT
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response
from tests.experiments.endpoint.scripted_websocket import websocket

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    # A client that is silent for a whole interval is dropped, so it is no shorter.
    async with Lab(heartbeat=0.8, poll_timeout=0.3, compression=True) as lab:
        yield lab


async def test_a_websocket_is_described_whole(lab: Lab) -> None:
    shares: list[float] = []
    report = await probe(lab.ws_url, watch=2.5, count=5, progress=lambda share, text: shares.append(share))
    assert (report.kind, report.status, report.address) == ("websocket", 101, "127.0.0.1")
    assert report.extensions == "permessage-deflate"
    assert (report.round_trips, report.round_trip_of) == (5, "ping frames")
    assert 0 < (report.p50_ms or 0) <= (report.p99_ms or 0)
    assert "ping frames, every " in report.heartbeat
    assert report.idle == "not cut within 2.5 s"
    assert report.nonsense == "close code 1002 to a frame of reserved opcode 3"
    assert report.resumes == "yes, by session and seq"
    assert report.tls_ms is None
    assert report.headers["upgrade"] == "websocket"
    assert shares == sorted(shares)


async def test_an_event_stream_is_found_out(lab: Lab) -> None:
    report = await probe(f"{lab.url}/sse", watch=2.5, count=2)
    assert (report.kind, report.status, report.round_trip_of) == ("sse", 200, "requests")
    assert "comments" in report.heartbeat
    assert report.resumes == "yes, by Last-Event-ID"
    assert report.nonsense.startswith("HTTP ")
    assert (report.idle, report.incomplete) == ("not cut within 2.5 s", "")


async def test_a_long_poll_is_found_out(lab: Lab) -> None:
    report = await probe(f"{lab.url}/poll", watch=5.0, count=2)
    assert (report.kind, report.resumes) == ("longpoll", "yes, by cursor")
    assert report.idle.startswith("answered HTTP 204 after ")


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_poll_that_is_cut_was_not_held(hangs_up: bool) -> None:
    stopped = asyncio.Event()

    async def poll(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if "cursor=c1" not in request.target:
            writer.write(response(200, b'{"cursor":"c1","messages":[]}', content_type="application/json"))
        elif not hangs_up:
            await stopped.wait()

    async with ScriptedServer(poll) as server, asyncio.timeout(30):
        try:
            report = await probe(server.url, kind="longpoll", watch=20.0 if hangs_up else 0.3, count=1)
        finally:
            stopped.set()
    if hangs_up:
        assert report.idle.startswith("cut after ")
        assert "hung up without an answer" in report.idle
    else:
        assert report.idle == "held for 0.3 s"


async def test_an_http_url_of_a_websocket_is_found_out(lab: Lab) -> None:
    assert (await probe(f"{lab.url}/ws", watch=0.0, count=1)).kind == "websocket"


async def test_round_trips_of_a_foreign_endpoint_are_recorded(lab: Lab) -> None:
    recorder = Recorder()
    for url in (lab.ws_url, f"{lab.url}/sse", f"{lab.url}/poll"):
        assert await follow(url, recorder, seconds=0.2, rate=10) == 2
    assert all(recorder.percentiles(kind)[50] > 0 for kind in ("websocket", "sse", "longpoll"))


async def test_a_server_is_answered_while_it_is_measured_and_its_words_are_kept() -> None:
    async def wants_a_pong_first(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        while (ping := await frames.next()) is not None and ping.opcode == PING:
            writer.write(raw_frame(PING, b"are you there?", mask=False))
            pong = await frames.next()
            if pong is None or pong.opcode != PONG:
                return
            if ping.payload == b"2":
                writer.write(raw_frame(CLOSE, b"\x0f\xa1", mask=False))
                return
            writer.write(raw_frame(PONG, ping.payload, mask=False))

    async with websocket(wants_a_pong_first) as url:
        report = await probe(url, watch=0.1, count=5)
    assert report.round_trips == 2
    assert report.heartbeat.startswith("3 ping frames")
    assert report.idle.endswith("with close code 4001")
    assert report.nonsense == "an end without a close frame to a frame of reserved opcode 3"


@pytest.mark.parametrize(
    ("first", "query"),
    [
        ('{"type":"welcome","payload":{"session":"s1","clientId":"c1"}}', "&clientId=c1&session=s1&seq=0"),
        ('{"type":"hello","payload":{"session":"s1"}}', ""),
        ("x", ""),
    ],
)
async def test_a_second_connection_resumes_as_every_client_does(first: str, query: str) -> None:
    """With the client's name, by which a balancer finds the server; and a foreign server gets no field."""
    asked: list[str] = []

    async def greet(ws: ServerConnection) -> None:
        assert ws.request is not None
        asked.append(ws.request.path)
        await ws.send(first)
        await ws.wait_closed()

    async with serve(greet, "127.0.0.1", 0) as server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        await probe(f"ws://127.0.0.1:{port}/ws?room=r", watch=0.2, count=1, timeout=0.5)
    assert asked == ["/ws?room=r", f"/ws?room=r{query}"]


async def test_a_server_that_talks_without_end_ends_no_probe() -> None:
    async def talks(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(raw_frame(TEXT, b"x", mask=False) * 10)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with websocket(talks) as url, asyncio.timeout(20):
        report = await probe(url, watch=0.0, count=5, timeout=0.3)
    assert report.round_trips == 0
    assert report.nonsense.startswith("nothing to a frame of reserved opcode 3")


async def test_a_probe_leaves_in_good_order() -> None:
    codes: list[int] = []

    async def notes(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        while (frame := await frames.next()) is not None and frame.opcode != 3:
            if frame.opcode == PING:
                writer.write(raw_frame(PONG, frame.payload, mask=False))
            elif frame.opcode == CLOSE:
                codes.append(frame.code)
                writer.write(raw_frame(CLOSE, frame.payload, mask=False))
                return

    async with websocket(notes) as url:
        await probe(url, watch=0.0, count=1)
    assert codes == [1000]


async def test_what_was_seen_is_kept_when_the_server_lets_nobody_in_twice() -> None:
    async def once(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")

    async with ScriptedServer(once) as server:
        report = await probe(server.url, watch=5.0, count=2)
    assert report.heartbeat == "1 comments"
    assert report.idle.endswith("the connection has ended")
    assert "hung up without an answer" in report.incomplete


async def page(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(response(200, b"<p>Hello</p>", content_type="text/html"))


async def silence(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def test_what_cannot_be_probed_is_said_with_the_next_step(lab: Lab, held_port: int) -> None:
    async def said(url: str, **options: float) -> str:
        with pytest.raises(ConnectFailed) as failed:
            await probe(url, watch=0.0, count=1, **options)  # pyright: ignore[reportArgumentType]
        return str(failed.value)

    assert "is the name right?" in await said("ws://no-such-host.invalid/")
    assert "is the server running?" in await said(f"ws://127.0.0.1:{held_port}/")
    assert "answered without TLS: use ws://" in await said(lab.ws_url.replace("ws:", "wss:"))
    async with ScriptedServer(page) as server:
        assert "with text/html, which is not a WebSocket" in await said(server.url.replace("http", "ws"))
        assert "with text/html, which is not real-time" in await said(server.url)
    async with ScriptedServer(silence) as server:
        assert "said nothing for 1 s" in await said(server.url, timeout=1.0)
    for status, advice in ((401, "credentials"), (400, "a subprotocol"), (503, "try again after '3'")):

        async def refuse(
            request: ReceivedRequest, writer: asyncio.StreamWriter, status: int = status
        ) -> None:
            writer.write(response(status, retry_after="3"))

        async with ScriptedServer(refuse) as server:
            assert advice in await said(server.url.replace("http", "ws"))
    certificates = Certificates()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates.certfile, certificates.keyfile)
    async with ScriptedServer(page, tls) as server:
        assert "--cafile FILE, or look without trust: --insecure" in await said(server.url)
        assert "does it expect https://?" in await said(server.url.replace("https", "http"))
        with pytest.raises(ConnectFailed, match="text/html"):
            await probe(server.url, ssl=insecure_tls())
    certificates.remove()


async def test_the_command_prints_a_table_or_json(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["probe", lab.ws_url, "--watch", "0", "--count", "2"]
    assert await asyncio.to_thread(cli.run, arguments) == 0
    out, _ = capfd.readouterr()
    assert "close code 1002" in out
    assert await asyncio.to_thread(cli.run, [*arguments, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["kind"] == "websocket"
    assert await asyncio.to_thread(cli.run, ["probe", "ws://x", "--header", "nonsense"]) == 1
    assert "expected --header 'Name: value'" in capfd.readouterr().err
    assert await asyncio.to_thread(cli.run, ["probe", "ftp://x"]) == 1
    assert "rtlab: expected a URL that starts with" in capfd.readouterr().err


async def test_what_was_never_offered_is_said() -> None:
    async def ends(frames: FrameReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()

    chosen = "\r\nSec-WebSocket-Extensions: permessage-deflate, x-mine; a=1\r\nSec-WebSocket-Protocol: chat"
    async with websocket(ends, chosen) as url:
        report = await probe(url, watch=0.01, count=1, headers={"sec-websocket-protocol": "other, chat"})
        assert report.subprotocol == "chat"
        assert report.extensions.endswith("(x-mine: never offered, so clients must fail, RFC 6455 §4.1)")
        assert "chat: never offered" in (await probe(url, watch=0.01, count=1)).subprotocol
