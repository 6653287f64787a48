"""The rules of a connection to an event stream, and everything around them, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable

import pytest
import trustme

from rtlab.client.connection import State
from rtlab.client.event_emitter import Disconnected, Reconnecting
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.transports.sse_transport import SseTransport
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
WELCOME = {"clientId": "c", "session": "s1", "resumed": False, "seq": 0, "limits": {"maxMessageBytes": 1000}}


def event(message: Message, cursor: str) -> bytes:
    return b"event: %b\ndata: %b\nid: %b\n\n" % (message.type.encode(), JSON.encode(message), cursor.encode())


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def streams(*bodies: bytes, head: bytes = HEAD, hold: bool = True) -> Callable[..., object]:
    """Answer each request with the next body; the last one stays open."""
    left = list(bodies)

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(head + left.pop(0))
        await writer.drain()
        if hold and not left:
            await forever()

    return script


def answers(*whole: bytes) -> Callable[..., object]:
    left = list(whole)

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return script


async def failure(script: object, path: str = "/stream", **options: object) -> ConnectFailed:
    async with ScriptedServer(script) as server:
        transport = SseTransport(server.url + path, **{"plain": True, **options})
        with pytest.raises(ConnectFailed) as caught:
            await transport.open(Resume())
        assert len(asyncio.all_tasks()) <= 2  # this test, and the server's connection
        return caught.value


async def collect(stream: ServerSentEvents, count: int) -> list[Message]:
    """Open a connection, take so many messages, and close it."""
    messages = aiter(stream)  # from before the first message can come
    async with stream, asyncio.timeout(20):
        return [await anext(messages) for _ in range(count)]


class TestRule13ContentType:
    @pytest.mark.parametrize(
        "kind",
        ["text/event-stream", "text/event-stream;charset=windows-1252", "Text/Event-Stream ; x=y"],
    )
    async def test_with_any_parameters(self, kind: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode()
        async with ScriptedServer(streams("data: ok…\n\n".encode(), head=head)) as server:
            got = await collect(ServerSentEvents(server.url + "/x", plain=True), 1)
            assert [message.payload for message in got] == ["ok…"]

    @pytest.mark.parametrize(
        "kind",
        [
            "application/json",
            "text/event-stream-x",
            "x-text/event-stream",
            "text/event-stream, text/html",
            "",
        ],
    )
    async def test_any_other_is_final(self, kind: str) -> None:
        error = await failure(answers(response(200, b"data: x\n\n", content_type=kind)))
        assert not error.retryable
        assert "expected content type text/event-stream" in str(error)

    @pytest.mark.parametrize("strict", [True, False])
    async def test_a_web_page_is_a_captive_portals_and_final_only_by_the_browsers_rules(
        self, strict: bool
    ) -> None:
        page = answers(response(200, b"<html>", content_type="text/html"))
        error = await failure(page, strict=strict)
        assert error.retryable is not strict

    async def test_none_at_all_is_final(self) -> None:
        assert not (await failure(answers(response(200, b"data: x\n\n")))).retryable


class TestRule14Status:
    STREAM = response(200, b"data: x\n\n", content_type="text/event-stream")

    @pytest.mark.parametrize("status", [204, 205, 210, 299, 300, 304, 400, 401, 403, 404, 410, 429, 500, 503])
    async def test_strict_all_but_200_are_final(self, status: int) -> None:
        answer = response(status, content_type="text/event-stream")
        error = await failure(answers(answer), strict=True)
        assert (error.retryable, error.status) == (False, status)

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
    async def test_else_server_errors_are_a_lost_connection(self, status: int) -> None:
        error = await failure(answers(response(status, b'{"error": "full"}', retry_after="7")))
        assert (error.retryable, error.status, error.retry_after) == (True, status, 7.0)
        assert "full" in str(error)

    @pytest.mark.parametrize("status", [204, 205, 299, 301, 404, 410])
    async def test_else_the_others_are_final_too(self, status: int) -> None:
        assert not (await failure(answers(response(status)))).retryable

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_redirects_are_followed_with_the_same_headers(self, status: int) -> None:
        async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(self.STREAM if request.path == "/there" else response(status, location="/there"))

        async with ScriptedServer(script) as server:
            transport = SseTransport(server.url + "/here", plain=True)
            assert await transport.open(Resume(cursor="4")) is None
            assert (await transport.receive()).payload == "x"
            transport.abort()
            for request in server.requests:
                assert request.headers["last-event-id"] == b"4"
                assert request.headers["accept"] == b"text/event-stream"

    async def test_a_circle_is_final(self) -> None:
        error = await failure(answers(response(307, location="/stream")))
        assert not error.retryable
        assert "circles" in str(error)

    async def test_retry_after_as_a_date_counts_from_the_answers_own_date(self) -> None:
        dates = {"date": "Tue, 15 Nov 1994 08:12:31 GMT", "retry_after": "Tue, 15 Nov 1994 08:12:51 GMT"}
        assert (await failure(answers(response(503, **dates)))).retry_after == 20.0

    @pytest.mark.parametrize("text", ["", "soon", "-3", "1.5", "٣", "Tue, 99 Nov 1994"])
    async def test_a_retry_after_that_cannot_be_read_is_none(self, text: str) -> None:
        assert (
            await failure(answers(response(503, retry_after=text.encode().decode("latin-1"))))
        ).retry_after is None

    async def test_a_503_goes_through_the_backoff(self) -> None:
        busy = response(503, retry_after="0")
        async with ScriptedServer(answers(busy, busy, self.STREAM)) as server:
            stream = ServerSentEvents(
                server.url + "/x", plain=True, retry_initial=True, reconnect_interval=0.01
            )
            async with stream:
                assert stream.stats.attempts == 3


class TestRule15Reconnect:
    async def test_at_the_end_of_the_stream_with_the_last_id(self) -> None:
        bodies = (
            b"retry: 10\nid: 1\ndata: a\n\nid: 2\ndata: lost\n",
            "id: …é\ndata: b\n\n".encode(),
            b"data: c\n\n",
        )
        async with ScriptedServer(streams(*bodies)) as server:
            stream = ServerSentEvents(server.url + "/x", plain=True, min_uptime=60)
            delays: list[float] = []
            stream.on("reconnecting", lambda event: delays.append(event.delay))
            assert [m.payload for m in await collect(stream, 3)] == ["a", "b", "c"]
            sent = [request.headers.get("last-event-id") for request in server.requests]
            assert sent == [None, b"1", "…é".encode()]
            assert len(delays) == 2  # the reconnection time outlives the stream that set it
            assert all(0.01 <= delay < 0.015 for delay in delays)

    async def test_after_an_id_that_came_without_data(self) -> None:
        bodies = (b"retry: 1\nid: 1\ndata: a\n\nid: 2\n\n", b"id\n\n", b"data: c\n\n")
        async with ScriptedServer(streams(*bodies)) as server:
            got = await collect(ServerSentEvents(server.url + "/x", plain=True), 2)
            assert [m.payload for m in got] == ["a", "c"]
            assert [r.headers.get("last-event-id") for r in server.requests] == [None, b"2", None]

    @pytest.mark.parametrize(
        ("sent", "back"),
        [
            ("\u3000a\xa0\u2028", "\u3000a\xa0\u2028"),  # no spaces to HTTP
            (" \ta b\t ", "a b"),
            ("a\x01b", "a\x01b"),
            ("a\vb", None),
            ("\fa", None),
        ],
    )
    async def test_with_an_id_of_any_characters(self, sent: str, back: str | None) -> None:
        bodies = (f"retry: 1\nid: {sent}\ndata: a\n\n".encode(), b"data: b\n\n")
        async with ScriptedServer(streams(*bodies)) as server:
            got = await collect(ServerSentEvents(server.url + "/x", plain=True), 2)
            assert [m.payload for m in got] == ["a", "b"]
            assert server.requests[1].headers.get("last-event-id") == (
                None if back is None else back.encode()
            )

    async def test_after_a_network_error(self) -> None:
        async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
            chunk = b"retry: 1\ndata: %d\n\n" % len(server.requests)
            writer.write(HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
            if len(server.requests) == 2:
                await forever()
            writer.transport.abort()  # no last chunk, no FIN

        async with ScriptedServer(script) as server:
            stream = ServerSentEvents(server.url + "/x", plain=True)
            lost: list[Disconnected] = []
            stream.on("disconnected", lost.append)
            assert [m.payload for m in await collect(stream, 2)] == ["1", "2"]
            assert (lost[0].code, lost[0].will_reconnect) == (1006, True)

    async def test_after_silence(self) -> None:
        async with ScriptedServer(streams(b": hello\n\n")) as server:
            transport = SseTransport(server.url + "/x", plain=True, silence_timeout=1.0)
            await transport.open(Resume())
            with pytest.raises(TransportClosed, match=r"nothing came for 1\.0 s") as caught:
                await transport.receive()
            assert caught.value.code == 1006
            transport.abort()

    async def test_a_server_that_is_away_is_tried_again(self) -> None:
        async with ScriptedServer(streams(b"retry: 1\ndata: x\n\n", hold=False)) as server:
            stream = ServerSentEvents(server.url + "/x", plain=True, reconnect_interval=0.01)
            away: list[Reconnecting] = []
            tried = asyncio.Event()
            stream.on("reconnecting", lambda event: (away.append(event), len(away) > 2 and tried.set()))
            await stream.connect()
        async with asyncio.timeout(20):
            await tried.wait()
        assert "nothing listens at 127.0.0.1" in away[-1].reason
        await stream.close()


class TestRule16TheEnd:
    async def test_close_is_final(self) -> None:
        async with ScriptedServer(streams(b"retry: 1\ndata: x\n\n")) as server:
            before = asyncio.all_tasks()
            stream = ServerSentEvents(server.url + "/x", plain=True)
            await collect(stream, 1)
            assert stream.state is State.CLOSED
            assert len(server.requests) == 1
            assert {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)} == set()

    async def test_a_204_ends_retries(self) -> None:
        stream_once = HEAD + b"retry: 1\ndata: x\n\n"
        async with ScriptedServer(answers(stream_once, response(204), HEAD)) as server:
            stream = ServerSentEvents(server.url + "/x", plain=True)
            ended = asyncio.Event()
            stream.on("error", lambda event: ended.set())
            await stream.connect()
            async with asyncio.timeout(20):
                await ended.wait()
            assert stream.state is State.DISCONNECTED
            assert len(server.requests) == 2

    async def test_close_wakes_a_reader(self) -> None:
        async with ScriptedServer(streams(b"")) as server:
            transport = SseTransport(server.url + "/x", plain=True)
            await transport.open(Resume())
            reader = asyncio.create_task(transport.receive())
            await asyncio.sleep(0)
            await transport.close()
            with pytest.raises(TransportClosed) as caught:
                await reader
            assert (caught.value.code, caught.value.clean) == (1000, True)

    async def test_abort_twice_and_before_open(self) -> None:
        async with ScriptedServer(streams(b"")) as server:
            SseTransport(server.url).abort()
            transport = SseTransport(server.url + "/x", plain=True)
            await transport.open(Resume())
            reader = asyncio.create_task(transport.receive())
            await asyncio.sleep(0)
            transport.abort()
            transport.abort()
            with pytest.raises(TransportClosed):
                await reader

    async def test_a_cancelled_open_leaves_no_socket(self) -> None:
        gone = asyncio.Event()

        async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while True:  # until the client's end is seen to be closed
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.005)
            gone.set()

        async with ScriptedServer(script) as server:
            opening = asyncio.create_task(SseTransport(server.url).open(Resume()))
            async with asyncio.timeout(20):
                while not server.requests:
                    await asyncio.sleep(0.005)
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
                await gone.wait()


class TestRule17Headers:
    async def test_ours_are_sent_and_the_callers_are_not_changed(self) -> None:
        mine = {"Authorization": "Bearer x", "accept": "application/json"}
        async with (
            ScriptedServer(streams(b"")) as server,
            ServerSentEvents(server.url + "/x", plain=True, headers=mine),
        ):
            (request,) = server.requests
        assert mine == {"Authorization": "Bearer x", "accept": "application/json"}
        assert request.headers["accept"] == b"text/event-stream"
        assert request.headers["cache-control"] == b"no-cache"
        assert request.headers["authorization"] == b"Bearer x"
        assert "last-event-id" not in request.headers


class TestAnotherServersStream:
    async def test_events_have_their_type_and_the_string_that_came(self) -> None:
        body = b'event: price\ndata: {"type": "x"}\n\ndata: 42\n\nevent: welcome\ndata: hi\n\n'
        async with ScriptedServer(streams(body)) as server:
            stream = ServerSentEvents(server.url + "/x", plain=True)
            prices: list[Message] = []
            stream.add_event_listener("price", prices.append)
            got = await collect(stream, 3)
            assert [(m.type, m.payload) for m in got] == [
                ("price", '{"type": "x"}'),
                ("message", "42"),
                ("welcome", "hi"),
            ]
            assert prices == got[:1]
            assert stream.welcome is None

    async def test_it_is_known_by_its_first_event(self) -> None:
        async with ScriptedServer(streams(b": hello\n\ndata: a\n\ndata: b\n\n")) as server:
            got = await collect(ServerSentEvents(server.url), 2)
            assert [m.payload for m in got] == ["a", "b"]
            assert server.requests[0].path == "/sse"

    async def test_its_url_is_used_as_it_is(self) -> None:
        async with (
            ScriptedServer(streams(b"")) as server,
            ServerSentEvents(server.url + "/?a=1", plain=True, client_id="me"),
        ):
            assert (server.requests[0].path, server.requests[0].query) == ("/", {"a": "1"})

    async def test_it_has_no_way_up(self) -> None:
        async with (
            ScriptedServer(streams(b"")) as server,
            ServerSentEvents(server.url + "/x", plain=True) as stream,
        ):
            with pytest.raises(MessageError, match="only comes down"):
                await stream.send("chat")

    async def test_it_answers_pings_with_whatever_it_has(self) -> None:
        async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
            if request.path == "/x":
                writer.write(HEAD)
                await forever()
            writer.write(response(404, b"no such page"))
            return True

        async with (
            ScriptedServer(script) as server,
            ServerSentEvents(server.url + "/x", plain=True) as stream,
            asyncio.timeout(20),
        ):
            assert await stream.ping() > 0

    async def test_comments_are_heard_also_while_nobody_reads(self) -> None:
        go = asyncio.Event()

        async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(HEAD)
            await go.wait()
            writer.write(b": beat\n\n")
            await writer.drain()
            await forever()

        async with ScriptedServer(script) as server, asyncio.timeout(20):
            transport = SseTransport(server.url + "/x", plain=True)
            await transport.open(Resume())
            before = transport.heard
            go.set()
            while transport.heard == before:
                await asyncio.sleep(0.001)
            assert before < transport.heard <= time.monotonic()
            await transport.close()

    async def test_too_large_an_event_ends_it_for_good(self) -> None:
        async with ScriptedServer(streams(b"data: " + b"x" * 10_000 + b"\n\n")) as server:
            transport = SseTransport(server.url + "/x", plain=True, max_message_bytes=5_000)
            await transport.open(Resume())
            with pytest.raises(TransportClosed) as caught:
                await transport.receive()
            assert caught.value.code == 1009

    async def test_gzip_is_read_although_it_was_not_asked_for(self) -> None:
        head = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        async with ScriptedServer(streams(gzip.compress(b"data: x\n\n"), head=head)) as server:
            transport = SseTransport(server.url + "/x", plain=True)
            await transport.open(Resume())
            assert (await transport.receive()).payload == "x"
            transport.abort()


class Lab:
    """A small server of ours: it welcomes, and echoes what is posted."""

    def __init__(self) -> None:
        self.down: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.send_answer = response(200, b'{"accepted": 1}')
        self.position = 0

    async def __call__(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        if request.method == "POST":
            if b" 200 " in self.send_answer:
                self.posted(request)
            writer.write(self.send_answer)
            return True
        if request.path == "/healthz":
            writer.write(response(200, b"{}"))
            return True
        resumed = request.query.get("session") == "s1"
        # As our server does: `seq` tells behind which message the stream goes on.
        seq = int(request.query.get("seq", 0)) if resumed else 0
        words = {**WELCOME, "resumed": resumed, "seq": seq}
        writer.write(HEAD + event(Message("welcome", words), f"s1.{self.position}"))
        while (chunk := await self.down.get()) is not None:
            writer.write(chunk)
            await writer.drain()
        return False

    def posted(self, request: ReceivedRequest) -> None:
        for message in json.loads(request.body if request.body.startswith(b"[") else b"[%b]" % request.body):
            self.push(Message(message["type"], message.get("payload"), message.get("id")))

    def push(self, message: Message) -> None:
        self.position += 1
        self.down.put_nowait(event(message, f"s1.{self.position}"))


@pytest.fixture
async def lab() -> AsyncIterator[tuple[Lab, ScriptedServer]]:
    script = Lab()
    async with ScriptedServer(script) as server:
        yield script, server


class TestOurServersStream:
    async def test_up_by_post_and_down_by_event(self, lab: tuple[Lab, ScriptedServer]) -> None:
        _, server = lab
        async with ServerSentEvents(server.url + "?token=t", client_id="me") as conn, asyncio.timeout(20):
            answer = await conn.request("echo", {"n": 1})
            assert answer.payload == {"n": 1}
            assert conn.stats.bytes_out == len(server.requests[1].body)
        get, post = server.requests
        assert (get.path, get.query) == ("/sse", {"token": "t", "clientId": "me"})
        assert (post.path, post.query) == ("/send", {"token": "t", "session": "s1", "clientId": "c"})

    async def test_resumes_by_session_and_last_event_id(self, lab: tuple[Lab, ScriptedServer]) -> None:
        script, server = lab
        conn = ServerSentEvents(server.url, reconnect_interval=0.01)
        messages = aiter(conn)
        async with conn, asyncio.timeout(20):
            script.push(Message("chat", 1))
            assert (await anext(messages)).payload == 1
            wait = asyncio.create_task(anext(messages))  # now the first one counts as handled
            await asyncio.sleep(0)
            script.down.put_nowait(None)
            script.push(Message("chat", 2))
            assert (await wait).payload == 2
            assert conn.stats.connects == 2
        again = server.requests[1]
        assert again.query == {"clientId": "c", "session": "s1", "seq": "1"}
        assert again.headers["last-event-id"] == b"s1.1"

    async def test_a_ping_is_a_request_beside_the_stream(self, lab: tuple[Lab, ScriptedServer]) -> None:
        _, server = lab
        async with ServerSentEvents(server.url) as conn, asyncio.timeout(20):
            assert await conn.ping() > 0
            assert server.requests[-1].path == "/healthz"

    async def test_one_unreadable_event_is_reported_and_passed(self, lab: tuple[Lab, ScriptedServer]) -> None:
        script, server = lab
        transport = SseTransport(server.url)
        await transport.open(Resume())
        script.down.put_nowait(b"data: [1]\nid: s1.1\n\n")
        script.push(Message("chat"))
        with pytest.raises(MessageError):
            await transport.receive()
        assert transport.cursor == "s1.1"
        assert (await transport.receive()).type == "chat"
        await transport.close()

    @pytest.mark.parametrize(
        ("status", "code", "again"), [(404, 1006, True), (503, 1013, True), (403, 1008, False)]
    )
    async def test_a_post_that_fails_ends_the_stream(
        self, lab: tuple[Lab, ScriptedServer], status: int, code: int, again: bool
    ) -> None:
        script, server = lab
        script.send_answer = response(status, b'{"error": {"code": "x", "message": "why"}}', retry_after="3")
        transport = SseTransport(server.url)
        await transport.open(Resume())
        reader = asyncio.create_task(transport.receive())
        with pytest.raises(TransportClosed, match="why"):
            await transport.send(Message("chat"))
        with pytest.raises(TransportClosed) as caught:
            await reader
        assert (caught.value.code, caught.value.reconnect, caught.value.retry_after) == (code, again, 3.0)

    async def test_a_stream_that_ends_before_the_welcome_is_no_connection(self) -> None:
        error = await failure(streams(b"retry: 50\n", hold=False), "/sse", plain=False)
        assert error.retryable
        assert "before its first event" in str(error)


class TestTls:
    async def test_up_and_down_with_the_authority_that_is_given(self) -> None:
        authority = trustme.CA()
        serving, trusting = (ssl.SSLContext(p) for p in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        authority.configure_trust(trusting)
        async with ScriptedServer(Lab(), serving) as server, asyncio.timeout(20):
            async with ServerSentEvents(server.url.replace("https", "wss"), ssl=trusting) as conn:
                assert (await conn.request("echo", 1)).payload == 1
            with pytest.raises(ConnectFailed, match="check the certificate") as caught:
                await SseTransport(server.url).open(Resume())
            assert not caught.value.retryable


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://h/x", "http://", "http://h:x/", "http://[::1"])
async def test_a_wrong_url_says_what_was_expected(url: str) -> None:
    with pytest.raises(ConnectFailed, match="expected a URL") as caught:
        await SseTransport(url).open(Resume())
    assert not caught.value.retryable
