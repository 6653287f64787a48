"""Long polling: nothing lost between polls, slow and failing servers, and its closed form."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator

import pytest

from rtlab.client.event_emitter import Reconnecting
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.transports import longpoll_transport
from rtlab.client.transports.longpoll_transport import LongPollTransport
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.protocol.close_codes import should_reconnect
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

pytestmark = pytest.mark.timeout(40)


class Mailbox:
    """A small server of ours: it keeps what it sent until the next cursor confirms it."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.news = asyncio.Event()
        self.limit = 5.0
        self.session = "s1"
        self.faults: list[bytes] = []  # what to answer polls with instead, in order, hanging up
        self.failed = False

    def push(self, *messages: bytes | Message) -> None:
        for message in messages:
            self.log.append(
                message
                if isinstance(message, bytes)
                else json.dumps({"type": message.type, "payload": message.payload, "id": message.id}).encode()
            )
        self.news.set()

    async def __call__(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        writer.write(await self.answer(request))
        return not self.failed

    async def answer(self, request: ReceivedRequest) -> bytes:
        if request.method == "POST":
            sent = json.loads(request.body)
            for message in sent if isinstance(sent, list) else [sent]:
                self.push(json.dumps(message).encode())
            return response(200, b'{"accepted": 1}')
        if request.path == "/healthz":
            return response(200, b"{}")
        first = "welcome" in request.query
        self.failed = bool(self.faults) and not first
        if self.failed:
            return self.faults.pop(0)
        known = request.query.get("session") == self.session
        position = int(request.query.get("cursor", request.query.get("seq", "0"))) if known else len(self.log)
        if known and not first:
            try:
                async with asyncio.timeout(self.limit):
                    while len(self.log) == position:
                        self.news.clear()
                        await self.news.wait()
            except TimeoutError:
                return response(204)
        messages = self.log[position:]
        if first or not known:
            detail = {"clientId": "c", "session": self.session, "resumed": known, "seq": position}
            messages = [json.dumps({"type": "welcome", "payload": detail}).encode(), *messages]
        return response(200, b'{"messages":[%b],"cursor":"%d"}' % (b",".join(messages), len(self.log)))


@pytest.fixture
async def rig() -> AsyncIterator[tuple[Mailbox, ScriptedServer]]:
    box = Mailbox()
    async with ScriptedServer(box) as server:
        yield box, server


Rig = tuple[Mailbox, ScriptedServer]


async def opened(server: ScriptedServer, resume: Resume | None = None, **options: float) -> LongPollTransport:
    transport = LongPollTransport(server.url, **options)
    welcome = await transport.open(resume or Resume())
    assert welcome is not None
    assert welcome.type == "welcome"
    return transport


async def test_the_first_poll_brings_the_welcome_at_once(rig: Rig) -> None:
    _, server = rig
    transport = LongPollTransport(server.url + "?token=t")
    welcome = await transport.open(Resume("me"))
    assert welcome is not None
    assert welcome.payload["session"] == "s1"
    (request,) = server.requests
    assert (request.path, request.query) == ("/poll", {"token": "t", "clientId": "me", "welcome": "1"})
    await transport.close()


async def test_the_cursor_goes_on_and_nothing_is_lost_between_polls(rig: Rig) -> None:
    box, server = rig
    transport = await opened(server)
    for n in range(30):
        box.push(*(Message("chat", 3 * n + k) for k in range(3)))
        got = [(await transport.receive()).payload for _ in range(2)]
        box.push()  # what comes while the client is busy
        got.append((await transport.receive()).payload)
        assert got == [3 * n, 3 * n + 1, 3 * n + 2]
    polls = [request.query for request in server.requests[1:]]
    assert [(query["session"], query["clientId"]) for query in polls] == [("s1", "c")] * len(polls)
    assert [int(query["cursor"]) for query in polls] == sorted(int(query["cursor"]) for query in polls)
    await transport.close()


async def test_the_next_poll_waits_until_everything_was_taken(rig: Rig) -> None:
    box, server = rig
    transport = await opened(server)
    box.push(Message("chat", 1), Message("chat", 2))
    await transport.receive()
    assert len(server.requests) == 2
    await transport.receive()
    assert len(server.requests) == 2  # the cursor that confirms both has not been sent
    await transport.close()


async def test_the_server_is_not_silent_while_it_is_not_asked(rig: Rig) -> None:
    _, server = rig
    transport = await opened(server)
    answered = transport.heard
    asked = time.monotonic()
    assert answered < asked
    reader = asyncio.create_task(transport.receive())
    async with asyncio.timeout(20):
        while len(server.requests) < 2:
            await asyncio.sleep(0.001)
    assert asked <= transport.heard <= time.monotonic()
    transport.abort()
    with pytest.raises(TransportClosed):
        await reader


async def test_a_204_is_followed_by_another_poll(rig: Rig) -> None:
    box, server = rig
    box.limit = 0.12
    transport = await opened(server)
    reader = asyncio.create_task(transport.receive())
    while len(server.requests) < 4:
        await asyncio.sleep(0.01)
    box.push(Message("chat", 1))
    assert (await reader).payload == 1
    assert len({json.dumps(request.query) for request in server.requests[1:]}) == 1
    await transport.close()


@pytest.mark.parametrize("empty", [response(204), response(200, b'{"messages":[],"cursor":"0"}')])
async def test_a_server_that_never_waits_is_not_asked_in_a_hot_loop(rig: Rig, empty: bytes) -> None:
    box, server = rig
    transport = await opened(server)
    box.faults = [empty] * 1000
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.35):
            await transport.receive()
    assert len(server.requests) - 1 <= (time.monotonic() - start) / longpoll_transport.MIN_EMPTY + 1
    transport.abort()


async def test_close_and_abort_end_a_poll_that_waits(rig: Rig) -> None:
    _, server = rig
    for end in ("close", "abort"):
        transport = await opened(server)
        before = len(server.requests)
        reader = asyncio.create_task(transport.receive())
        while len(server.requests) == before:
            await asyncio.sleep(0.001)
        if end == "close":
            await transport.close()
        transport.abort()
        transport.abort()
        with pytest.raises(TransportClosed) as caught:
            await reader
        assert (caught.value.code, caught.value.clean) == ((1000, True) if end == "close" else (1006, False))
    LongPollTransport(server.url).abort()


async def test_up_by_post_and_a_ping_beside_the_poll(rig: Rig) -> None:
    _, server = rig
    async with LongPolling(server.url + "?token=t") as conn:
        assert (await conn.request("echo", {"n": 1})).payload == {"n": 1}
        assert await conn.ping() > 0
        assert conn.stats.bytes_out == len(
            next(request.body for request in server.requests if request.method == "POST")
        )
    post = next(request for request in server.requests if request.method == "POST")
    assert (post.path, post.query) == ("/send", {"token": "t", "session": "s1", "clientId": "c"})


class TestServersThatFail:
    @pytest.mark.parametrize(
        ("fault", "code", "again", "after"),
        [
            (response(503, retry_after="3"), 1013, True, 3.0),
            (response(500), 1013, True, None),
            (response(429, retry_after="9"), 1013, True, 9.0),
            (response(404, b'{"error": {"code": "unknown_session"}}'), 1006, True, None),
            (response(409), 4500, False, None),
            (response(403), 1008, False, None),
            (response(200, b"<html>"), 1002, False, None),
            (response(200, b'{"messages": 1, "cursor": ""}'), 1002, False, None),
            (b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{", 1006, True, None),
            (b"nonsense\r\n\r\n", 1006, True, None),
        ],
    )
    async def test_the_stream_ends_with_what_to_do_next(
        self, rig: Rig, fault: bytes, code: int, again: bool, after: float | None
    ) -> None:
        box, server = rig
        transport = await opened(server, poll_timeout=10)
        box.faults = [fault]
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert (caught.value.code, should_reconnect(caught.value.code)) == (code, again)
        assert caught.value.retry_after == after
        transport.abort()

    async def test_a_busy_server_is_asked_again_after_a_delay_and_nothing_is_lost(self, rig: Rig) -> None:
        box, server = rig
        conn = LongPolling(server.url, reconnect_interval=0.01)
        waits: list[Reconnecting] = []
        conn.on("reconnecting", waits.append)
        messages = aiter(conn)
        async with conn:
            box.faults = [response(503, retry_after="0")]
            box.push(Message("chat", 1), Message("chat", 2))
            assert [(await anext(messages)).payload for _ in range(2)] == [1, 2]
            box.faults = [response(503, retry_after="0")]
            box.push(Message("chat", 3))
            assert (await anext(messages)).payload == 3
        assert 0 < waits[0].delay < 0.01  # its *0* leaves our own delay

    async def test_an_answer_that_is_lost_comes_again(self, rig: Rig) -> None:
        box, server = rig
        messages = aiter(conn := LongPolling(server.url, reconnect_interval=0.01))
        async with conn:
            for n in range(5):
                box.push(Message("chat", n))
                box.faults = [b"HTTP/1.1 200 X\r\nContent-Length: 9999\r\n\r\n{", b""]
                assert (await anext(messages)).payload == n
            assert conn.stats.repeats == 0

    async def test_no_answer_at_all(self, rig: Rig) -> None:
        _, server = rig
        transport = await opened(server)
        transport._poll_timeout = 0.05  # not for the first poll, which is answered
        with pytest.raises(TransportClosed, match=r"nothing came for 0\.05 s"):
            await transport.receive()
        transport.abort()

    async def test_an_expired_session_begins_anew(self, rig: Rig) -> None:
        box, server = rig
        conn = LongPolling(server.url, reconnect_interval=0.01)
        lost = asyncio.Event()
        conn.on("resync", lambda event: lost.set())
        async with conn:
            box.session = "s2"
            box.push(Message("chat", 1))
            await lost.wait()
            assert (await conn.request("echo", 2)).payload == 2

    async def test_one_unreadable_message_does_not_stop_the_others(self, rig: Rig) -> None:
        box, server = rig
        transport = await opened(server)
        box.push(b"[1]", Message("chat", 2))
        with pytest.raises(MessageError):
            await transport.receive()
        assert (await transport.receive()).payload == 2
        transport.abort()

    @pytest.mark.parametrize(
        ("answer", "again", "said"),
        [
            (response(204), False, "expected a welcome"),
            (response(200, b'{"messages":[{"type":"chat"}],"cursor":""}'), False, "expected a welcome"),
            (response(200, b"hello"), False, "cannot be read"),
            (response(404, b"nope"), False, "HTTP 404 (nope)"),
            (response(503, retry_after="4"), True, "HTTP 503"),
            (b"", True, "no answer"),
        ],
    )
    async def test_what_is_no_server_of_ours_is_no_connection(
        self, answer: bytes, again: bool, said: str
    ) -> None:
        async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        async with ScriptedServer(script) as server:
            with pytest.raises(ConnectFailed) as caught:
                await LongPollTransport(server.url).open(Resume())
        assert caught.value.retryable is again
        assert said in str(caught.value)

    async def test_resumes_after_the_last_message_handled(self, rig: Rig) -> None:
        box, server = rig
        box.push(*(Message("chat", n) for n in range(5)))
        transport = await opened(server, Resume("c", "s1", 3))
        assert server.requests[0].query == {"clientId": "c", "session": "s1", "seq": "3", "welcome": "1"}
        assert [(await transport.receive()).payload for _ in range(2)] == [3, 4]
        transport.abort()


@pytest.fixture
async def child() -> AsyncIterator[str]:
    inner, outer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtlab.server", "--token", "t", "--watch-fd", str(inner)),
        *("--poll-timeout", "1"),
        stdout=asyncio.subprocess.PIPE,
        pass_fds=(inner,),
    )
    os.close(inner)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        yield f"http://127.0.0.1:{json.loads(line)['port']}"
    finally:
        os.close(outer)
        async with asyncio.timeout(10):
            await process.wait()


async def test_a_poll_that_ends_empty_is_no_event(child: str) -> None:
    async with LongPolling(child) as conn:
        await asyncio.sleep(1.2)  # the server's limit here is 1 s
        assert (await conn.request("echo", "still here")).payload == "still here"
        assert (conn.stats.disconnects, conn.stats.attempts) == (0, 1)


@pytest.mark.parametrize("kind", [LongPolling, ServerSentEvents])
async def test_a_room_on_the_real_server_through_lost_connections(
    child: str, kind: type[LongPolling | ServerSentEvents]
) -> None:
    got: list[int] = []
    done = asyncio.Event()
    async with kind(child) as one, kind(child, reconnect_interval=0.01) as two:
        two.on("chat", lambda message: (got.append(message.payload), len(got) == 60 and done.set()))
        await one.join_room("r")
        await two.join_room("r")
        for start in range(0, 60, 20):
            await asyncio.gather(*(one.send("chat", n, room_id="r") for n in range(start, start + 20)))
            transport = two._runner.transport
            if transport is not None:
                transport.abort()
        async with asyncio.timeout(10):
            await done.wait()
        assert got == list(range(60))  # in order, nothing lost, nothing twice
        assert two.stats.disconnects >= 1
