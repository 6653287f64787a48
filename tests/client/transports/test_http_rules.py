"""Rules of HTTP that all four transports keep in the same way, against scripted servers on real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import traceback
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtlab.client.connection import Connection
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.longpoll_transport import LongPollTransport
from rtlab.client.transports.sse_transport import SseTransport
from rtlab.client.transports.transport_interface import Transport
from rtlab.client.transports.webrtc_transport import WebRTCTransport
from rtlab.client.transports.websocket_transport import WebSocketTransport
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.patterns.realtime_client import RealtimeConnection
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

TRANSPORTS: dict[str, Callable[..., Transport]] = {
    "websocket": WebSocketTransport,
    "sse": SseTransport,
    "longpoll": LongPollTransport,
    "webrtc": WebRTCTransport,
}
CONNECTIONS: dict[str, Callable[..., Connection]] = {
    "websocket": WebSocketConnection,
    "sse": ServerSentEvents,
    "longpoll": LongPolling,
    "webrtc": WebRTCChannel,
}
every = pytest.mark.parametrize("name", list(TRANSPORTS))

WELCOME = {"type": "welcome", "payload": {"session": "s1", "clientId": "c1", "seq": 0}}
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    + b"event: welcome\ndata: %b\n\n" % json.dumps(WELCOME).encode()
)


def polled(*messages: object, cursor: str = "s1.1") -> bytes:
    body = json.dumps({"messages": messages, "cursor": cursor}).encode()
    return response(200, body, content_type="application/json")


async def refusal(name: str, url: object, **options: Any) -> ConnectFailed:
    """Return the error of one attempt; nothing is left behind."""
    transport = TRANSPORTS[name](url, **options)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(ConnectFailed) as caught:
                await transport.open(Resume("c1"))
    finally:
        transport.abort()
        if isinstance(transport, WebRTCTransport):
            await transport.closed()
    return caught.value


def answering(*answers: bytes) -> Callable[[ReceivedRequest, asyncio.StreamWriter], Any]:
    left = list(answers)

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        return True

    return script


# What arrives


TARGETS = [
    "/a%2Fb?sig=a/b==&stream&room=lobby",
    "/rtc/offer?token=abc&room=lobby",
    "/x?a=%20b+c&d=%E3%83%86",
    "/x?filter[]=1",
]


@every
@pytest.mark.parametrize("target", TARGETS)
async def test_a_url_arrives_as_it_was_meant(name: str, target: str) -> None:
    async with ScriptedServer(answering(response(404))) as server:
        await refusal(name, server.url + target)
        (request,) = server.requests
    if "?" in target:
        assert request.target.startswith(f"{target}&clientId=c1")


@pytest.mark.parametrize("name", ["websocket", "sse", "webrtc"])
@pytest.mark.parametrize("target", ["/x?", "/x??", "/?", "/x?a?", "/x"])
async def test_an_empty_query_is_not_no_query(name: str, target: str) -> None:
    """A first poll always has a query; the other requests have only the caller's (RFC 3986 §6.2.3)."""
    async with ScriptedServer(answering(response(307, location=target), response(404))) as server:
        transport = TRANSPORTS[name](server.url + target)
        with pytest.raises(ConnectFailed):
            await transport.open(Resume())
        transport.abort()
        if isinstance(transport, WebRTCTransport):
            await transport.closed()
        paths = [request.target for request in server.requests]
    expected = {"/?": {"sse": "/sse?", "webrtc": "/rtc/offer?"}.get(name, "/?")}.get(target, target)
    assert paths == [expected, target]


@every
async def test_what_cannot_stand_in_a_request_line_is_encoded(name: str) -> None:
    async with ScriptedServer(answering(response(404))) as server:
        await refusal(name, server.url + "/a b?room=größe x")
        (request,) = server.requests
    assert request.target.startswith("/a%20b?room=gr%C3%B6%C3%9Fe%20x&clientId=c1")


@every
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_either_scheme_leads_to_the_same_server(name: str, scheme: str) -> None:
    async with ScriptedServer(answering(response(404))) as server:
        await refusal(name, server.url.replace("http", scheme) + "/x")
        assert len(server.requests) == 1


@pytest.mark.parametrize("prefix", ["", "/", "/base", "/base/", "/base/ws", "/base/rtc/offer"])
async def test_a_realtime_client_keeps_query_path_and_credentials(prefix: str) -> None:
    async with ScriptedServer(answering(response(404))) as server:
        url = server.url.replace("//", "//me:pw@") + prefix + "?sig=a/b==&stream"
        client = RealtimeConnection(url, transports=("websocket", "sse", "longpoll", "webrtc"))
        with pytest.raises(ConnectFailed):
            await client.connect()
        requests = server.requests
    base = "/base" if "base" in prefix else ""
    assert [r.path for r in requests] == [f"{base}{end}" for end in ("/ws", "/sse", "/poll", "/rtc/offer")]
    assert all(r.target.partition("?")[2].startswith("sig=a/b==&stream") for r in requests)
    assert {r.headers["authorization"] for r in requests} == {b"Basic bWU6cHc="}


@pytest.mark.parametrize("name", ["websocket", "sse", "longpoll", "webrtc"])
async def test_the_callers_authorization_replaces_that_of_a_realtime_clients_url(name: str) -> None:
    """In any spelling: two fields of the name are for no server to choose from (RFC 9110 §5.3)."""
    raw = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response(404))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(20):
        url = f"http://me:pw@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        mine = {name: {"headers": {"authorization": "Bearer mine"}}}
        client = RealtimeConnection(url, transports=(name,), options=mine)
        with pytest.raises(ConnectFailed):
            await client.connect()
    sent = [line for line in bytes(raw).split(b"\r\n") if line.lower().startswith(b"authorization")]
    assert sent == [b"authorization: Bearer mine"]


# One error for one cause


@every
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:70000/x", "port from 1 to 65535"),
        ("http://127.0.0.1:x/x", "port from 1 to 65535"),
        ("http://a..b/x", "host name or an address"),
        (f"http://{'a' * 64}/x", "host name or an address"),
        ("http://a b/x", "host name or an address"),
        ("http://[::1/x", "host name or an address"),
        ("http://256.1.1.1/x", "host name or an address"),
        ("ftp://127.0.0.1/x", "a URL that starts with"),
        ("", "a URL like"),
        (None, "a URL like"),
    ],
)
async def test_a_url_that_is_none(name: str, url: object, words: str) -> None:
    error = await refusal(name, url)
    assert words in str(error)
    assert not error.retryable


@every
@pytest.mark.parametrize("headers", [{"X": 5}, {"X": None}, {"X": "a\r\nY: b"}, {"X": "é"}, {"a b": "x"}])
async def test_headers_that_are_none(name: str, headers: dict[str, Any]) -> None:
    async with ScriptedServer(answering(response(404))) as server:
        error = await refusal(name, server.url + "/x", headers=headers)
        assert not server.requests
    assert "header" in str(error)
    assert not error.retryable


@every
async def test_nobody_listens(name: str) -> None:
    async with ScriptedServer(answering(response(404))) as server:
        url = server.url
    error = await refusal(name, url + "/x")
    assert re.fullmatch(r"nothing listens at 127\.0\.0\.1:\d+: is the server running\?", str(error))
    assert error.retryable


@every
async def test_a_certificate_that_is_not_trusted(name: str, lab_certificates: Any) -> None:
    async with ScriptedServer(answering(response(404)), ssl=lab_certificates) as server:
        error = await refusal(name, server.url + "/x")
    assert "check the certificate" in str(error)
    assert not error.retryable


@pytest.fixture
def lab_certificates() -> ssl.SSLContext:
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@every
async def test_redirects_in_a_circle(name: str) -> None:
    async with ScriptedServer(answering(response(307, location="/x"))) as server:
        error = await refusal(name, server.url + "/x")
        assert len(server.requests) < 15
    assert "redirects in circles" in str(error)
    assert not error.retryable


@every
@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (response(200, b"<html>Log in", content_type="text/html"), True),
        (response(511, b"<html>Log in", content_type="text/html"), True),
        (response(200, b"hello", content_type="text/plain"), False),
        *((response(status), False) for status in (400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411)),
        *((response(status), False) for status in (412, 413, 414, 415, 418, 422, 424, 426, 428, 431, 451)),
        *((response(status), True) for status in (408, 421, 425, 429, 500, 502, 503, 504)),
    ],
)
async def test_which_answers_are_worth_another_try(name: str, answer: bytes, again: bool) -> None:
    async with ScriptedServer(answering(answer)) as server:
        error = await refusal(name, server.url + "/x")
    assert error.retryable is again
    assert error.status == int(answer[9:12]) or (name == "longpoll" and error.status is None)


@every
@pytest.mark.parametrize("hint", ["7", "Sun, 06 Nov 1994 08:49:44 GMT", "Sun Nov  6 08:49:44 1994"])
async def test_how_long_to_wait(name: str, hint: str) -> None:
    answer = response(503, retry_after=hint, date="Sun, 06 Nov 1994 08:49:37 GMT")
    async with ScriptedServer(answering(answer)) as server:
        assert (await refusal(name, server.url + "/x")).retry_after == 7.0


@every
@pytest.mark.parametrize("body", ['{"error":{"code":"x","message":"größe"}}'.encode("latin-1"), b"[" * 5000])
async def test_a_refusal_whose_body_cannot_be_read_is_the_same_refusal(name: str, body: bytes) -> None:
    async with ScriptedServer(answering(response(503, body, content_type="application/json"))) as server:
        error = await refusal(name, server.url + "/x")
    assert (error.status, error.retryable) == (503, True)


@pytest.mark.parametrize(
    "answer",
    [
        response(
            503, '{"error":{"code":"x","message":"größe"}}'.encode("latin-1"), content_type="application/json"
        ),
        response(503, b"[" * 5000, content_type="application/json"),
        response(503, b"\x1b", content_encoding="gzip"),
        response(302, location="mailto:somebody"),
        b"HTTP/1.1 302 X\r\nLocation: http://\xff\xfe/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"\xff\xff\r\n\r\n",
        b"",
    ],
    ids=["not UTF-8", "too deep", "not gzip", "mailto", "no host", "wrong key", "no HTTP", "hang-up"],
)
async def test_no_refusal_of_a_websocket_keeps_a_realtime_client_from_the_next_transport(
    answer: bytes,
) -> None:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(answer if request.path == "/ws" else STREAM)
        if request.path == "/sse":
            await writer.drain()
            await asyncio.sleep(20)

    async with ScriptedServer(script) as server, asyncio.timeout(20):
        async with RealtimeConnection(server.url, max_reconnect_attempts=0) as client:
            assert client.transport == "sse"
            assert list(client.attempts["outcome"]) == ["refused", "works"]
        assert [request.path for request in server.requests][:2] == ["/ws", "/sse"]


# Secrets


@every
async def test_no_secret_is_shown(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with ScriptedServer(answering(response(503, b"no"))) as server:
        url = server.url.replace("//", "//me:s3cret@") + "/x?token=s3cret&sig=s3cret"
        conn = CONNECTIONS[name](url, max_reconnect_attempts=0)
        heard: list[object] = []
        for event in ("connected", "disconnected", "reconnecting", "error"):
            conn.on(event, heard.append)
        with pytest.raises(ConnectFailed) as caught:
            await conn.connect()
        assert b"Basic" in server.requests[0].headers["authorization"]
        assert server.requests[0].query["token"] == "s3cret"
        await conn.close()
    shown = "".join(traceback.format_exception(caught.value)) + repr(conn) + repr(heard) + caplog.text
    assert "s3cret" not in shown


# Credentials


@asynccontextmanager
async def two_servers(name: str, cookie: bool = True) -> AsyncIterator[tuple[ScriptedServer, ScriptedServer]]:
    """Yield a server that redirects to another origin, and that one, which serves what it can."""

    async def away(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        set_cookie = {"set_cookie": "home=1; Path=/"} if cookie else {}
        writer.write(response(307, location=f"{other.url}{request.path}?clientId=c1&welcome=1", **set_cookie))
        return True

    polls = 0

    async def serve(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        nonlocal polls
        if request.method == "POST" and "send" in request.path:
            writer.write(response(200, b'{"accepted": 1}', content_type="application/json"))
        elif name == "sse" and "sse" in request.path:
            writer.write(STREAM)
            await writer.drain()
            await asyncio.sleep(20)
        elif name == "longpoll" and "poll" in request.path:
            polls += 1
            writer.write(polled(WELCOME if polls == 1 else {"type": "x", "payload": None}))
        else:
            writer.write(response(200 if "healthz" in request.path else 404))
        return True

    async with ScriptedServer(serve) as other, ScriptedServer(away) as home:
        yield home, other


@every
async def test_credentials_do_not_follow_to_another_origin(name: str) -> None:
    secret = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Cookie": "mine=s3cret"}
    path = {"sse": "/sse", "longpoll": "/poll"}.get(name, "/x")
    async with two_servers(name) as (home, other), asyncio.timeout(20):
        url = f"{home.url}{path}?token=s3cret"
        if name in ("websocket", "webrtc"):
            await refusal(name, url, headers=secret)
        else:
            transport = TRANSPORTS[name](url, headers=secret)
            await transport.open(Resume("c1"))
            await transport.send(Message("chat", "x"))
            await transport.ping()
            if name == "longpoll":
                await transport.receive()
            await transport.close()
            paths = {request.path for request in other.requests}
            assert {"/send", "/healthz"} < paths
        assert home.requests[0].headers["authorization"] == b"Bearer s3cret"
        assert b"mine=s3cret" in home.requests[0].headers["cookie"]
        assert other.requests
        for request in other.requests:
            seen = request.target.encode() + b"".join(request.headers.values())
            assert b"s3cret" not in seen
            assert "cookie" not in request.headers


@every
async def test_credentials_stay_after_a_redirect_within_the_origin(name: str) -> None:
    answers = answering(response(307, location="/y?a"), response(404))
    async with ScriptedServer(answers) as server:
        await refusal(name, server.url + "/x", headers={"Authorization": "Bearer s3cret"})
        assert [request.target for request in server.requests][1] == "/y?a"
        assert [request.headers.get("authorization") for request in server.requests] == [b"Bearer s3cret"] * 2


@every
async def test_a_balancers_cookie_stays_with_its_origin_across_reconnects(name: str) -> None:
    cookies = CookieStore()
    async with (
        ScriptedServer(answering(response(503, set_cookie="node=a; Path=/; HttpOnly"))) as server,
        ScriptedServer(answering(response(404))) as stranger,
    ):
        for url in (server.url, server.url, stranger.url):
            await refusal(name, url + "/x", cookies=cookies, headers={"Cookie": "mine=1"})
        sent = [request.headers["cookie"] for request in (*server.requests, *stranger.requests)]
    assert sent == [b"mine=1", b"mine=1; node=a", b"mine=1"]


@every
async def test_a_connection_shares_one_store_among_its_attempts(name: str) -> None:
    async with ScriptedServer(answering(response(503, set_cookie="node=a; Path=/"))) as server:
        conn = CONNECTIONS[name](
            server.url + "/x", max_reconnect_attempts=1, retry_initial=True, reconnect_interval=0.01
        )
        with pytest.raises(ConnectFailed):
            await conn.connect()
        await conn.close()
        assert [request.headers.get("cookie") for request in server.requests] == [None, b"node=a"]


# Posts


async def opened(server: ScriptedServer) -> SseTransport:
    transport = SseTransport(server.url)
    await transport.open(Resume("c1"))
    return transport


def posting(*answers: bytes) -> Callable[[ReceivedRequest, asyncio.StreamWriter], Any]:
    """An event stream, and these answers to POSTs."""
    left = list(answers)

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        if request.method == "GET":
            writer.write(STREAM)
            await writer.drain()
            await asyncio.sleep(20)
            return False
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        return True

    return script


@pytest.mark.parametrize("body", ['{"error":{"code":"x","message":"größe"}}'.encode("latin-1"), b"[" * 5000])
async def test_a_refused_post_whose_body_cannot_be_read_is_a_refusal(body: bytes) -> None:
    async with ScriptedServer(posting(response(400, body))) as server, asyncio.timeout(20):
        transport = await opened(server)
        with pytest.raises(MessageError, match="HTTP 400"):
            await transport.send(Message("chat"))
        await transport.close()


async def test_a_post_answered_by_a_captive_portal_was_not_accepted() -> None:
    page = response(200, b"<html>Log in", content_type="text/html")
    async with ScriptedServer(posting(page)) as server, asyncio.timeout(20):
        transport = await opened(server)
        with pytest.raises(TransportClosed, match="web page") as caught:
            await transport.send(Message("chat"))
        assert caught.value.reconnect
        await transport.close()


OK = response(200, b'{"accepted": 1}')
STALE = response(408, b"", connection="close")


@pytest.mark.parametrize(
    ("at_once", "stale"),
    [(True, STALE), (False, STALE), (False, response(400, b"", connection="close"))],
    ids=["with the answer", "a moment later", "any other status"],
)
async def test_a_stale_408_is_no_answer_to_the_next_post(at_once: bool, stale: bytes) -> None:
    ended = asyncio.Event()

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        if request.method == "GET":
            return bool(await posting(OK)(request, writer))
        if len([r for r in server.requests if r.method == "POST"]) > 1:
            writer.write(OK)
            return True
        writer.write(OK + stale if at_once else OK)
        await writer.drain()
        if not at_once:
            await asyncio.sleep(0.05)
            writer.write(stale)
            await writer.drain()
        ended.set()
        return True

    async with ScriptedServer(script) as server, asyncio.timeout(20):
        transport = await opened(server)
        await transport.send(Message("chat", 1))
        await ended.wait()
        await asyncio.sleep(0.05)  # the 408 arrives while nobody asks
        await transport.send(Message("chat", 2))
        await transport.close()
        payloads = [json.loads(r.body)["payload"] for r in server.requests if r.method == "POST"]
    assert set(payloads) == {1, 2}


async def test_a_408_on_a_new_connection_is_the_answer() -> None:
    async with ScriptedServer(posting(STALE)) as server, asyncio.timeout(20):
        transport = await opened(server)
        with pytest.raises(TransportClosed, match="408"):
            await transport.send(Message("chat", 1))
        await transport.close()
        assert len([r for r in server.requests if r.method == "POST"]) == 1


# Polls


async def test_a_long_cursor_travels_in_a_header() -> None:
    long = "s1.1~" + "%E3%83%86" * 600
    answers = answering(
        polled(WELCOME, cursor=long), polled({"type": "x"}, cursor="s1.2"), polled({"type": "y"})
    )
    async with ScriptedServer(answers) as server, asyncio.timeout(20):
        transport = LongPollTransport(server.url)
        await transport.open(Resume("c1"))
        assert (await transport.receive()).type == "x"
        assert (await transport.receive()).type == "y"
        await transport.close()
        _, second, third = server.requests
    assert second.headers["last-event-id"].decode() == long
    assert "cursor" not in second.query
    assert "last-event-id" not in third.headers
    assert third.query["cursor"] == "s1.2"


async def test_a_poll_answered_by_a_captive_portal_is_tried_again() -> None:
    page = response(200, b"<html>Log in", content_type="text/html")
    async with ScriptedServer(answering(polled(WELCOME), page)) as server, asyncio.timeout(20):
        transport = LongPollTransport(server.url)
        await transport.open(Resume("c1"))
        with pytest.raises(TransportClosed, match="web page") as caught:
            await transport.receive()
        assert caught.value.reconnect
        await transport.close()


# What servers do, by the reports of other clients' users


@pytest.mark.parametrize("name", ["sse", "longpoll", "webrtc"])
async def test_early_hints_are_not_the_answer(name: str) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\n"
    async with ScriptedServer(answering(hints + response(503, retry_after="7"))) as server:
        assert (await refusal(name, server.url + "/x")).retry_after == 7.0


@every
@pytest.mark.parametrize("location", ["/größe y?q=ü", "?other", "//127.0.0.1:{port}/z"])
async def test_a_location_is_read_as_browsers_read_it(name: str, location: str) -> None:
    left = [True]

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        if left and left.pop():
            port = server.url.rpartition(":")[2]
            head = f"HTTP/1.1 307 X\r\nLocation: {location.format(port=port)}\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
        else:
            writer.write(response(404))
        return True

    async with ScriptedServer(script) as server:
        await refusal(name, server.url + "/x")
        second = server.requests[1]
    if location.startswith("/gr"):
        assert second.target == "/gr%C3%B6%C3%9Fe%20y?q=%C3%BC"
    else:
        assert second.target == {"?": "/x?other", "/": "/z"}[location[0]]


@every
@pytest.mark.parametrize(("location", "second"), [(b"/\xff", "/%FF"), (b"http://\xff\xfe/", None)])
async def test_a_location_of_other_bytes_means_the_same_to_all(
    name: str, location: bytes, second: str | None
) -> None:
    moved = b"HTTP/1.1 307 X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location
    async with ScriptedServer(answering(moved, response(404))) as server:
        error = await refusal(name, server.url + "/x")
        targets = [request.target for request in server.requests]
    assert targets[1:] == ([] if second is None else [second])
    assert not error.retryable


async def test_a_compressed_stream_is_delivered_event_by_event() -> None:
    zipper = zlib.compressobj(wbits=31)
    seen = asyncio.Event()

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n")
        for text in (b"data: 1\n\n", b"data: 2\n\n"):
            writer.write(zipper.compress(text) + zipper.flush(zlib.Z_SYNC_FLUSH))
            await writer.drain()
            await seen.wait()

    async with ScriptedServer(script) as server, asyncio.timeout(20):
        transport = SseTransport(server.url + "/x", plain=True)
        await transport.open(Resume())
        assert (await transport.receive()).payload == "1"
        seen.set()
        assert (await transport.receive()).payload == "2"
        await transport.close()


@pytest.mark.parametrize("name", ["sse", "longpoll", "webrtc"])
@pytest.mark.parametrize("coding", ["x-own", "gzip, gzip"])
async def test_a_coding_that_was_not_asked_for_is_refused(name: str, coding: str) -> None:
    kind = {"sse": "text/event-stream"}.get(name, "application/json")
    answer = response(200, b"\x1b\x00", content_type=kind, content_encoding=coding)
    async with ScriptedServer(answering(answer)) as server:
        error = await refusal(name, server.url + "/x")
    assert coding in str(error)
    assert not error.retryable


@pytest.mark.parametrize("name", ["sse", "longpoll", "webrtc"])
@pytest.mark.parametrize(
    "raw", [b"\x15\x03\x01\x00\x02\x02P", b"220 smtp.example\r\n", b"HTTP/9 200\r\n\r\n", b""]
)
async def test_what_is_no_http_is_an_error_that_may_pass(name: str, raw: bytes) -> None:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)  # and hangs up

    async with ScriptedServer(script) as server:
        error = await refusal(name, server.url + "/x")
    assert "127.0.0.1" in str(error)
    assert error.retryable
