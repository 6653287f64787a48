"""WebSocketConnection against bare servers: good ones, foreign ones, and broken ones."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tracemalloc
import zlib

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from rtlab.client.connection import State
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed, MessageTooLarge, NotConnected
from rtlab.policies.backoff import Constant
from rtlab.protocol.json_and_messagepack_codecs import CODECS, JSON, MSGPACK
from rtlab.protocol.message_format import Message
from rtlab.protocol.permessage_deflate import Deflate
from rtlab.protocol.websocket_framing import BINARY, websocket_frame

SUBPROTOCOLS = [Subprotocol(name) for name in CODECS]


@contextlib.asynccontextmanager
async def server(handler, **options):
    options.setdefault("subprotocols", SUBPROTOCOLS)
    async with serve(handler, "127.0.0.1", 0, **options) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/ws"


@contextlib.asynccontextmanager
async def tcp(handler):
    tasks = set()

    async def owned(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    running = await asyncio.start_server(owned, "127.0.0.1", 0)
    async with running:
        yield f"127.0.0.1:{running.sockets[0].getsockname()[1]}"
    await asyncio.gather(*tasks)


def codec_of(ws):
    return CODECS[ws.subprotocol]


async def send(ws, message):
    await ws.send(codec_of(ws).encode(message), text=not codec_of(ws).binary)


async def greet(ws, **detail):
    await send(ws, Message("welcome", {"clientId": "c", "session": "s", "seq": 0, **detail}))


async def echo(ws):
    await greet(ws)
    async for data in ws:
        await send(ws, codec_of(ws).decode(data))


async def until(condition, timeout=20.0):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_echo(codec, compression):
    async with (
        server(echo, compression=compression) as url,
        WebSocketConnection(url, codec=codec, compression=compression) as conn,
    ):
        payload = {"text": "žluťoučký", "n": [1, 2.5, None, True]}
        assert (await conn.request("echo", payload)).payload == payload
        assert await conn.ping() > 0
        stats = conn.stats
        assert (stats.transport, stats.rtt, stats.messages_out) == ("websocket", conn.stats.rtt, 1)
        assert stats.bytes_out > 0
        assert stats.bytes_in > stats.bytes_out


@pytest.mark.parametrize("ending", ["turn", "close"])
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_batches_of_one_turn_leave_together_and_in_order(compression, ending):
    got = []

    async def collect(ws):
        await greet(ws)
        got.extend([codec_of(ws).decode(data) async for data in ws])

    async with server(collect, compression=compression) as url:
        async with WebSocketConnection(url, compression=compression) as conn:
            writes = []
            transport = conn._runner.transport
            written = transport._ws.transport.write
            transport._ws.transport.write = lambda data: (writes.append(len(data)), written(data))
            waiting = []
            for n in range(6):  # nothing here waits: all in one turn of the loop
                await conn.send("batch" if n != 3 else "note", [{"type": "note", "payload": n}])
                waiting.append(transport.buffered_bytes)
            assert len(writes) == 2, "the first at once, and what waited with the note behind it"
            assert waiting[0] == waiting[3] == 0 < waiting[1] < waiting[2]
            assert 0 < waiting[4] < waiting[5]
            if ending == "turn":
                await conn.drain(5)
                assert len(writes) == 3
        await until(lambda: len(got) == 6)
    assert [message.payload[0]["payload"] for message in got] == list(range(6))
    assert [message.type for message in got] == ["batch"] * 3 + ["note"] + ["batch"] * 2


async def test_a_foreign_server_needs_no_welcome():
    async def plain(ws):
        async for data in ws:
            await ws.send(data)

    async with server(plain, subprotocols=None) as url, WebSocketConnection(url) as conn:
        assert conn.welcome is None
        assert (await conn.request("hi", 1)).payload == 1


# Servers that pick our subprotocol, and speak something else (the default of Node's ws)


async def test_a_foreign_server_that_picks_our_subprotocol_and_waits():
    async def plain(ws):
        async for data in ws:
            await ws.send(data)

    async with server(plain) as url, WebSocketConnection(url) as conn:
        assert conn.welcome is None
        assert (await conn.request("hi", 1)).payload == 1


@pytest.mark.parametrize(
    "first",
    [
        '{"type":"hello","payload":1}',
        '{"type":"welcome","message":"nice to meet you"}',
        '{"type":"welcome","payload":{"user":"me"}}',
        '{"type":"welcome","payload":["session"]}',
    ],
)
async def test_a_foreign_servers_first_message_is_delivered(first):
    async def plain(ws):
        await ws.send(first)
        await ws.send('{"type":"second"}')
        await ws.wait_closed()

    async with server(plain) as url:
        conn = WebSocketConnection(url)
        heard = []
        conn.on("*", heard.append)
        async with conn:
            assert conn.welcome is None
            await until(lambda: len(heard) == 2)
        assert heard == [JSON.decode(first), Message("second")]
        assert conn.stats.bytes_in == len(first) + len('{"type":"second"}')


@pytest.mark.parametrize("first", ["hello", "[1]", "", b"\xff", "[" * 10_000])
async def test_a_first_frame_that_is_no_message_is_reported_and_ends_nothing(first):
    async def plain(ws):
        await ws.send(first)
        await ws.send('{"type":"second"}')
        await ws.wait_closed()

    async with server(plain) as url:
        conn = WebSocketConnection(url)
        errors, heard = [], []
        conn.on("error", errors.append)
        conn.on("second", heard.append)
        async with conn:
            await until(lambda: heard)
        assert [event.source for event in errors] == ["codec"]


@pytest.mark.parametrize("greeted", [True, False])
async def test_text_that_is_not_utf8_ends_with_1007_and_is_not_tried_again(greeted):
    codes = []

    async def bad(ws):
        if greeted:
            await greet(ws)
        await ws.send(b'{"type":"x","other":"\xe9"}', text=True)
        await ws.wait_closed()
        codes.append(ws.close_code)

    async with server(bad) as url:
        conn = WebSocketConnection(url, backoff=Constant(seconds=0.0))
        told, heard = [], []
        conn.on("disconnected", told.append)
        conn.on("x", heard.append)
        if greeted:
            await conn.connect()
            await until(lambda: told)
            assert (told[0].code, told[0].will_reconnect) == (1007, False)
        else:
            with pytest.raises(ConnectFailed, match="1007") as caught:
                await conn.connect()
            assert not caught.value.retryable
        assert heard == []
        await conn.close()
    assert codes == [1007]


@pytest.mark.parametrize(
    ("lines", "words", "retryable"),
    [
        (["Sec-WebSocket-Extensions: x-webkit-deflate-frame"], "an extension that was not offered", False),
        (["Sec-WebSocket-Extensions: permessage-deflate"], "an extension that was not offered", False),
        (["Sec-WebSocket-Extensions: x-subprotocol"], "an extension that was not offered", False),
        (["Sec-WebSocket-Protocol: soap"], "a subprotocol that was not offered", False),
        (["Sec-WebSocket-Protocol: rtlab.v1.json, soap"], "does not speak WebSocket", True),
    ],
)
async def test_what_was_not_offered_is_called_by_its_name(lines, words, retryable):
    compression = None if "permessage-deflate" in lines[0] else "deflate"

    async def handler(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line[19:] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key: "))
        answer = ["HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade", *lines]
        answer += [f"Sec-WebSocket-Accept: {accept_key(key)}", "", ""]
        writer.write("\r\n".join(answer).encode())
        await reader.read()

    async with tcp(handler) as address:
        with pytest.raises(ConnectFailed, match=words) as caught:
            await WebSocketConnection(f"ws://{address}/ws", compression=compression).connect()
    assert caught.value.retryable is retryable


async def test_a_redirect_is_followed_also_to_an_http_url_and_credentials_stay_at_home():
    seen = []

    async def handler(ws):
        seen.append((ws.request.path, ws.request.headers.get("Authorization")))
        await echo(ws)

    async with server(handler) as url:
        target = url.replace("ws://", "http://") + "?sig=a/b=="

        async with tcp(http(307, f"Location: {target}")) as address:
            conn = WebSocketConnection(f"ws://me:pw@{address}/ws", headers={"X-Kept": "1"})
            async with conn:
                assert (await conn.request("echo", 1)).payload == 1
    assert seen == [("/ws?sig=a/b==", None)]


async def test_redirects_in_circles_are_final():
    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /ws\r\n\r\n")

    async with tcp(handler) as address:
        with pytest.raises(ConnectFailed, match="redirects") as caught:
            await WebSocketConnection(f"ws://{address}/ws").connect()
        assert not caught.value.retryable


async def test_a_user_in_the_url_becomes_a_header():
    seen = []

    async def handler(ws):
        seen.append(ws.request.headers["Authorization"])
        await echo(ws)

    async with server(handler) as url, WebSocketConnection(url.replace("ws://", "ws://me:p%40w@")):
        assert seen == ["Basic bWU6cEB3"]


async def test_frames_that_are_no_messages_are_reported():
    async def bad(ws):
        await greet(ws)
        for frame in ("hello", "[]", '{"type":1}', b"\xff\xfe", "[" * 10_000):
            await ws.send(frame)
        await send(ws, Message("good"))
        await ws.wait_closed()

    async with server(bad) as url:
        conn = WebSocketConnection(url)
        errors, good = [], []
        conn.on("error", errors.append)
        conn.on("good", good.append)
        async with conn:
            await until(lambda: good)
        assert [e.source for e in errors] == ["codec"] * 5
        assert conn.stats.dead_letters == 5


async def test_a_message_over_our_limit_ends_with_1009_and_is_not_tried_again():
    async def big(ws):
        await greet(ws)
        await send(ws, Message("big", "x" * 10_000))
        await ws.wait_closed()

    async with server(big) as url:
        conn = WebSocketConnection(url, max_message_bytes=1000, backoff=Constant(seconds=0.0))
        told = []
        conn.on("disconnected", told.append)
        await conn.connect()
        await until(lambda: told)
        assert (told[0].code, told[0].will_reconnect) == (1009, False)
        await conn.close()


def bomb(expands_to):
    """A compressed message of zeros: a thousand times smaller than what it expands to."""
    data = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (data.compress(bytes(expands_to)) + data.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def test_a_compression_bomb_ends_with_1009_before_it_expands():
    frame = websocket_frame(BINARY, bomb(40_000_000), 0x40)

    async def attack(ws):
        await greet(ws)
        ws.transport.write(frame)
        await ws.wait_closed()

    async with server(attack, compression="deflate") as url:
        conn = WebSocketConnection(url, compression="deflate", backoff=Constant(seconds=0.0))
        told = []
        conn.on("disconnected", told.append)
        tracemalloc.start()
        try:
            await conn.connect()
            await until(lambda: told)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (told[0].code, told[0].will_reconnect) == (1009, False)
        assert peak < 10_000_000  # the limit is 1 MiB; zlib's buffer doubles on its way there
        await conn.close()


async def test_the_parameters_of_compression_are_offered_and_kept():
    asked = []

    async def handler(ws):
        asked.append((ws.request.headers["Sec-WebSocket-Extensions"], str(ws.protocol.extensions[0])))
        await echo(ws)

    small = Deflate(server_max_window_bits=10, client_max_window_bits=9, server_no_context_takeover=True)
    async with server(handler) as url, WebSocketConnection(url, compression=small) as conn:
        for n in range(2):
            assert (await conn.request("echo", ["again", n])).payload == ["again", n]
    assert asked == [
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; "
            "client_max_window_bits=9",
            "PerMessageDeflate(remote_no_context_takeover=False, local_no_context_takeover=True, "
            "remote_max_window_bits=9, local_max_window_bits=10)",
        )
    ]
    with pytest.raises(TypeError, match='"deflate", a Deflate or None, got True'):
        WebSocketConnection(url, compression=True)


async def test_the_servers_limit_binds_us():
    async def handler(ws):
        await greet(ws, limits={"maxMessageBytes": 64})
        await ws.wait_closed()

    async with server(handler) as url, WebSocketConnection(url) as conn:
        conn.on("error", lambda event: None)
        with pytest.raises(MessageTooLarge):
            await conn.send("chat", "x" * 100)


async def test_a_lost_socket_reconnects_with_its_session():
    paths = []

    async def handler(ws):
        paths.append(ws.request.path)
        await greet(ws, resumed=len(paths) > 1)
        if len(paths) == 1:
            ws.transport.abort()
        await ws.wait_closed()

    async with server(handler) as url:
        conn = WebSocketConnection(url, backoff=Constant(seconds=0.0))
        told = []
        conn.on("disconnected", told.append)
        await conn.connect()
        await until(lambda: conn.stats.connects == 2)
        assert (told[0].code, told[0].clean) == (1006, False)
        assert paths == ["/ws", "/ws?clientId=c&session=s&seq=0"]
        await conn.close()


@pytest.mark.parametrize("query", ["sig=a/b==&stream", "name=a%2Fb", "q=a b"])
async def test_a_query_arrives_as_it_was_meant(query):
    paths = []

    async def handler(ws):
        paths.append(ws.request.path)
        await echo(ws)

    async with server(handler) as url, WebSocketConnection(f"{url}?{query}", client_id="me"):
        assert paths == [f"/ws?{query.replace(' ', '%20')}&clientId=me"]


async def test_the_query_of_a_url_is_kept():
    paths = []

    async def handler(ws):
        paths.append(ws.request.path)
        await echo(ws)

    async with server(handler) as url, WebSocketConnection(url + "?token=t", client_id="me"):
        assert paths == ["/ws?token=t&clientId=me"]


async def test_a_server_that_closes_at_once():
    async def handler(ws):
        await ws.close(1008, "banned")

    async with server(handler) as url:
        with pytest.raises(ConnectFailed, match=r"1008 \(banned\)") as caught:
            await WebSocketConnection(url).connect()
        assert not caught.value.retryable


async def test_close_against_a_peer_that_does_not_answer():
    """The closing handshake is bounded, whatever the peer does."""
    started, done = asyncio.Event(), asyncio.Event()

    async def handler(ws):
        await greet(ws)
        ws.transport.pause_reading()
        started.set()
        await done.wait()

    async with server(handler, close_timeout=0.1) as url:
        conn = WebSocketConnection(url, close_timeout=0.05)
        await conn.connect()
        await started.wait()
        async with asyncio.timeout(10):
            await conn.close()
        assert conn.state is State.CLOSED
        done.set()


GOODBYES = {
    "1000": (b"\x88\x02\x03\xe8", 1000),
    "1012": (b"\x88\x02\x03\xf4", 1012),
    "code 0": (b"\x88\x02\x00\x00", 1002),
    "code 1005": (b"\x88\x02\x03\xed", 1002),
    "half a code": (b"\x88\x01\x03", 1002),
    "reason not UTF-8": (b"\x88\x03\x03\xe8\xff", 1007),
    "opcode 3": (b"\x83\x00", 1002),
    "a message and 1000": (b'\x81\x0c{"type":"n"}\x88\x02\x03\xe8', 1000),
}


async def test_a_server_that_says_goodbye_and_keeps_tcp_open_is_gone():
    """So is one that broke the protocol: the client waits for the end of TCP for a second only."""

    async def says(goodbye):
        async def script(reader, writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            accept = accept_key(re.search(r"Sec-WebSocket-Key: (\S+)", head)[1])
            upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            writer.write(f"HTTP/1.1 101 X\r\n{upgrade}".encode())
            await reader.readexactly(2)  # the request
            writer.write(goodbye)
            await reader.read()  # until the client closes the connection

        async with tcp(script) as where:
            conn = WebSocketConnection(f"ws://{where}/ws", max_reconnect_attempts=0, heartbeat=None)
            ends, received = [], []
            conn.on("disconnected", ends.append)
            conn.on("n", received.append)
            await conn.connect()
            async with asyncio.timeout(20):
                with pytest.raises(NotConnected):
                    await conn.request("echo", timeout=60)
                await until(lambda: ends)
            await conn.close()
            return ends[0].code, len(received)

    told = await asyncio.gather(*(says(goodbye) for goodbye, _ in GOODBYES.values()))
    expected = [(code, name.count("message")) for name, (_, code) in GOODBYES.items()]
    assert dict(zip(GOODBYES, told, strict=True)) == dict(zip(GOODBYES, expected, strict=True))


async def flood(conn):
    for _ in range(100):
        await conn.send("chat", "x" * 500_000)


async def test_a_peer_that_does_not_read_ends_the_connection():
    """The frame is in the socket's buffer: only a connection that ended was not to deliver it."""
    done = asyncio.Event()

    async def handler(ws):
        await greet(ws)
        ws.transport.pause_reading()
        await done.wait()

    async with server(handler, close_timeout=0.1) as url:
        conn = WebSocketConnection(url, send_timeout=0.05, max_reconnect_attempts=0)
        told = []
        conn.on("disconnected", told.append)
        await conn.connect()
        try:
            with pytest.raises(NotConnected, match="has not read"):
                await flood(conn)
            await until(lambda: told)
            assert conn.state is State.DISCONNECTED
        finally:
            done.set()


# What answers at the other end is no rtlab server at all


def http(status, *headers):
    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        lines = [f"HTTP/1.1 {status} X", "Content-Length: 0", "Connection: close", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())

    return handler


@pytest.mark.parametrize(
    ("status", "headers", "retryable", "retry_after"),
    [
        (200, (), False, None),
        (200, ("Content-Type: text/html",), True, None),  # a captive portal's page
        (408, (), True, None),
        (421, (), True, None),
        (429, (), True, None),
        (402, (), False, None),
        (422, (), False, None),
        (404, (), False, None),
        (401, (), False, None),
        (503, ("Retry-After: 7",), True, 7.0),
        (503, ("Retry-After: soon",), True, None),
        (
            503,
            ("Date: Tue, 15 Nov 1994 08:12:31 GMT", "Retry-After: Tue, 15 Nov 1994 08:12:51 GMT"),
            True,
            20.0,
        ),
        (503, ("Retry-After: 7", "Retry-After: 9"), True, 7.0),
    ],
)
async def test_an_http_server(status, headers, retryable, retry_after):
    async with tcp(http(status, *headers)) as address:
        with pytest.raises(ConnectFailed, match=f"HTTP {status}") as caught:
            await WebSocketConnection(f"ws://{address}/ws").connect()
    error = caught.value
    assert (error.status, error.retryable, error.retry_after) == (status, retryable, retry_after)
    assert isinstance(error.__cause__, InvalidStatus)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"code":"bad_origin","message":"not from there"}}', "Protocols: not from there"),
        (b"no\r\nroom", "Protocols: no room"),
        (b"<html>", "is the path right"),
        (b"", "is the path right"),
        (b"\xff{", "Protocols: \ufffd{"),
        (b'{"error":{"message":"caf\xe9"}}', "caf\ufffd"),
        (b'{"a":' * 10_000, "Protocols: "),
    ],
)
async def test_a_refusal_says_why(body, said):
    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)

    async with tcp(handler) as address:
        with pytest.raises(ConnectFailed, match=re.escape(said)):
            await WebSocketConnection(f"ws://{address}/ws").connect()


async def test_a_port_that_accepts_and_stays_silent():
    async def silent(reader, writer):
        await reader.read()

    async with tcp(silent) as address:
        with pytest.raises(ConnectFailed, match=r"stays silent") as caught:
            await WebSocketConnection(f"ws://{address}/ws", connect_timeout=0.05).connect()
        assert isinstance(caught.value.__cause__, TimeoutError)


async def test_a_port_that_accepts_and_closes():
    async def rude(reader, writer):
        writer.close()

    async with tcp(rude) as address:
        with pytest.raises(ConnectFailed, match="does not speak WebSocket"):
            await WebSocketConnection(f"ws://{address}/ws").connect()


async def test_a_port_that_speaks_something_else():
    async def smtp(reader, writer):
        writer.write(b"220 mail ready\r\n")
        await reader.read()

    async with tcp(smtp) as address:
        with pytest.raises(ConnectFailed, match="does not speak WebSocket"):
            await WebSocketConnection(f"ws://{address}/ws").connect()


async def test_a_closed_port(held_port: int):
    with pytest.raises(ConnectFailed, match="nothing listens") as caught:
        await WebSocketConnection(f"ws://127.0.0.1:{held_port}/ws").connect()
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://x",
            "ws://",
            "",
            "ws://127.0.0.1:port/",
            "ws://[::1/",
            "127.0.0.1:80",
        ),
        *("ws://127.0.0.1:65536/", None, b"ws://127.0.0.1/ws", 5, object()),
    ],
)
async def test_a_url_that_is_none(url):
    with pytest.raises(ConnectFailed, match=r"expected a (URL|port|host)") as caught:
        await WebSocketConnection(url).connect()
    assert not caught.value.retryable


async def test_nothing_is_left_behind():
    async with server(echo) as url:
        before = len(asyncio.all_tasks())
        for _ in range(5):
            conn = WebSocketConnection(url)
            await conn.connect()
            await conn.close()
            task = asyncio.create_task(conn.connect())
            await asyncio.sleep(0.001)
            task.cancel()  # dialling, or connected already: either way close() ends it
            await asyncio.gather(task, return_exceptions=True)
            await conn.close()
        await until(lambda: len(asyncio.all_tasks()) == before)


async def test_a_socket_that_fails_to_write_ends_the_connection(monkeypatch):
    def broken(data):
        raise OSError("no buffer space available")

    async with server(echo) as url, WebSocketConnection(url, max_reconnect_attempts=0) as conn:
        ended = []
        conn.on("disconnected", ended.append)
        monkeypatch.setattr(conn._runner.transport._ws.transport, "write", broken)
        with pytest.raises(NotConnected, match="no buffer space available"):
            await conn.send("chat")
        await until(lambda: ended)


async def test_fragments_and_whole_messages_arrive_in_order():
    async def fragments(ws):
        await greet(ws)
        for n in range(0, 30, 3):
            await send(ws, Message("n", n))
            whole = JSON.encode(Message("n", n + 1)).decode()
            await ws.send([whole[:9], whole[9:20], whole[20:]])
            await send(ws, Message("n", n + 2))
            if n % 6 == 0:
                await asyncio.sleep(0)
        await ws.wait_closed()

    seen = []
    async with server(fragments) as url:
        conn = WebSocketConnection(url, codec=JSON)
        conn.on("n", lambda message: seen.append(message.payload))
        async with conn:
            await until(lambda: len(seen) == 30)
            assert seen == list(range(30))
            assert conn.stats.bytes_in > 30 * len('{"type":"n","payload":1}')


def test_an_interrupt_in_a_handler_ends_the_connection_and_gets_through():
    def interrupt(message):
        raise KeyboardInterrupt

    async def script():
        async with server(echo) as url:
            conn = box[0] = WebSocketConnection(url, backoff=Constant(seconds=60.0))
            conn.on("chat", interrupt)
            await conn.connect()
            await conn.send("chat")
            await asyncio.sleep(20)

    box = [None]
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(script())
    assert box[0].state is State.DISCONNECTED
