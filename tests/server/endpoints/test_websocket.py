"""The WebSocket route of a real server, over bare `websockets` and bare sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
import websockets

from tests.server.conftest import Child

Start = Callable[..., Child]


UPGRADE_HEAD = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def get(ws: websockets.ClientConnection, *types: str) -> dict[str, Any]:
    """Return the next message, of the given types if any are given."""
    while True:
        data = await asyncio.wait_for(ws.recv(), 20)
        message = msgspec.json.decode(data) if isinstance(data, str) else msgspec.msgpack.decode(data)
        if not types or message["type"] in types:
            return message


async def say(ws: websockets.ClientConnection, type: str, payload: Any = None, **fields: Any) -> None:
    await ws.send(json.dumps({"type": type, "payload": payload, **fields}))


async def closed(ws: websockets.ClientConnection) -> tuple[int, str]:
    """Read to the end; return the close code and the reason that the server sent."""
    with contextlib.suppress(websockets.ConnectionClosedError):
        async with asyncio.timeout(20):
            async for _ in ws:
                pass
    received = ws.protocol.close_rcvd
    return (received.code, received.reason) if received is not None else (1006, "")


async def settled(
    server: Child, want: Callable[[dict[str, Any]], bool], timeout: float = 20.0
) -> dict[str, Any]:
    """Ask for the stats until they are as wanted, or fail with the last ones."""
    until = time.monotonic() + timeout
    while True:
        stats = await asyncio.to_thread(server.stats)
        if want(stats):
            return stats
        assert time.monotonic() < until, stats
        await asyncio.sleep(0.02)


def no_more_than(before: dict[str, Any], stats: dict[str, Any]) -> bool:
    """Say whether a server's tasks and descriptors are gone; they go a moment after the sessions."""
    return all(stats[what] <= before[what] for what in ("tasks", "descriptors"))


async def test_the_welcome_comes_first_and_tells_all(server: Child) -> None:
    async with server.connect("?clientId=ada") as ws:
        welcome = await get(ws)
    payload = welcome["payload"]
    assert welcome["type"] == "welcome"
    assert payload["clientId"] == "ada"
    assert (payload["resumed"], payload["seq"]) == (False, 0)
    assert payload["limits"] == {"maxMessageBytes": 1 << 20, "maxDepth": 64, "maxRooms": 64}
    assert payload["heartbeat"] == 15.0
    assert payload["outbox"] == {"results": 1024, "resultBytes": 256 * 1024, "age": 3600.0}
    assert set(payload) == {
        "clientId", "session", "bootId", "node", "feedTimer", "resumed", "seq", "limits", "heartbeat",
        "outbox",
    }  # fmt: skip


@pytest.mark.parametrize("subprotocol", ["rtlab.v1.json", "rtlab.v1.msgpack"])
async def test_both_codecs_speak(server: Child, subprotocol: str) -> None:
    async with server.connect(subprotocols=[subprotocol]) as ws:
        assert ws.subprotocol == subprotocol
        await get(ws, "welcome")
        message = {"type": "echo", "payload": {"n": 1, "x": 1.5}, "id": "1", "ts": 2.5}
        binary = subprotocol.endswith("msgpack")
        await ws.send(msgspec.msgpack.encode(message) if binary else json.dumps(message))
        data = await asyncio.wait_for(ws.recv(), 5)
        assert isinstance(data, bytes) is binary
        echo = msgspec.msgpack.decode(data) if isinstance(data, bytes) else msgspec.json.decode(data)
        assert (echo["payload"], echo["id"], echo["ts"]) == ({"n": 1, "x": 1.5}, "1", 2.5)
        assert 0 <= time.monotonic() - echo["sent"] < 5


async def test_a_room_delivers_to_all_members_across_codecs(server: Child) -> None:
    async with (
        server.connect("?clientId=ada&user=Ada") as ada,
        server.connect("?clientId=bob", subprotocols=["rtlab.v1.msgpack"]) as bob,
    ):
        await say(ada, "join_room", {"roomId": "both"}, id="1")
        assert (await get(ada, "ack"))["payload"]["recovered"] is True
        await bob.send(msgspec.msgpack.encode({"type": "join_room", "payload": {"roomId": "both"}}))
        await get(bob, "ack")
        assert (await get(bob, "users_update"))["payload"] == ["Ada", "bob"]
        await say(ada, "chat", {"text": "hi"}, roomId="both", id="2", ts=1.5)
        seen = [await get(ws, "chat") for ws in (ada, bob)]
        assert seen[0] == seen[1]
        assert seen[0] == {
            "type": "chat", "payload": {"text": "hi"}, "id": "2", "clientId": "ada", "roomId": "both",
            "offset": 1, "epoch": seen[0]["epoch"], "ts": 1.5,
        }  # fmt: skip


async def test_what_one_codec_cannot_carry_hurts_nobody_else(server: Child) -> None:
    async with server.connect() as ada, server.connect(subprotocols=["rtlab.v1.msgpack"]) as bob:
        await say(ada, "join_room", {"roomId": "odd"})
        await bob.send(msgspec.msgpack.encode({"type": "join_room", "payload": {"roomId": "odd"}}))
        await get(bob, "ack")
        # A megabyte of control characters is six times as long in JSON.
        text = "\x01" * ((1 << 20) - 200)
        await bob.send(msgspec.msgpack.encode({"type": "blob", "payload": text, "roomId": "odd"}))
        error = await get(ada, "error", "blob")
        assert (error["type"], error["payload"]["code"], error["offset"]) == ("error", "not_encodable", 1)
        assert (await get(bob, "error", "blob"))["payload"] == text
        await say(ada, "echo", "alive")
        assert (await get(ada, "echo"))["payload"] == "alive"


async def test_a_number_that_not_every_codec_carries_reaches_nobody(server: Child) -> None:
    async with server.connect() as ada, server.connect(subprotocols=["rtlab.v1.msgpack"]) as bob:
        await say(ada, "join_room", {"roomId": "numbers"}, id="1")
        await get(ada, "ack")
        await bob.send(msgspec.msgpack.encode({"type": "join_room", "payload": {"roomId": "numbers"}}))
        await get(bob, "ack")
        await get(bob, "users_update")
        for type in ("chat", "echo"):
            await say(ada, type, {"n": 2**70}, roomId="numbers", id="2")
            error = (await get(ada, "ack", "error", "chat", "echo"))["payload"]
            assert (error["code"], "at most 64 bits" in error["message"]) == ("payload", True)
        await say(ada, "batch", [{"type": "chat", "roomId": "numbers", "payload": 2**70, "id": "3"}])
        assert (await get(ada, "ack", "error"))["payload"]["code"] == "payload"
        # The largest that there is arrives, and as the first of the room.
        await say(ada, "chat", {"n": 2**64 - 1}, roomId="numbers")
        chat = await get(bob)
        assert (chat["type"], chat["payload"], chat["offset"]) == ("chat", {"n": 2**64 - 1}, 1)


async def test_a_feed_keeps_its_schedule_and_says_when_it_ends(server: Child) -> None:
    async with server.connect() as ws:
        await say(ws, "feed", {"rate": 1000, "size": 200, "count": 50}, id="7")
        ack = await get(ws, "ack")
        assert ack["id"] == "7"
        messages = [await get(ws, "feed") for _ in range(50)]
    assert [m["payload"]["n"] for m in messages] == list(range(50))
    assert {m["payload"]["feed"] for m in messages} == {ack["payload"]["feed"]}
    assert [m["payload"].get("last") for m in messages] == [None] * 49 + [True]
    assert all(m["sent"] >= m["ts"] for m in messages)
    assert messages[-1]["ts"] - messages[0]["ts"] == pytest.approx(0.049)


async def test_a_lost_connection_resumes_without_loss_or_repeat(server: Child) -> None:
    async with server.connect("?clientId=ada") as ws:
        session = (await get(ws, "welcome"))["payload"]["session"]
        await say(ws, "feed", {"rate": 500, "count": 200})
        seen = [await get(ws) for _ in range(20)]
        ws.transport.abort()
    query = f"?clientId=ada&session={session}&seq=20"
    async with server.connect(query) as ws:
        welcome = (await get(ws))["payload"]
        assert (welcome["resumed"], welcome["seq"], welcome["session"]) == (True, 20, session)
        while "last" not in (seen[-1]["payload"]):
            seen.append(await get(ws))
    assert [m["payload"]["n"] for m in seen if m["type"] == "feed"] == list(range(200))


async def test_what_cannot_be_resumed_begins_anew(server: Child) -> None:
    async with server.connect("?clientId=ada") as ws:
        session = (await get(ws, "welcome"))["payload"]["session"]
        ws.transport.abort()
    for query in (
        "?clientId=ada&session=unknown&seq=0",
        f"?clientId=eve&session={session}&seq=0",
        f"?clientId=ada&session={session}&seq=5",
    ):
        async with server.connect(query) as ws:
            welcome = (await get(ws))["payload"]
            assert (welcome["resumed"], welcome["seq"]) == (False, 0)
            assert welcome["session"] != session


async def test_a_new_connection_replaces_the_old_one(server: Child) -> None:
    async with server.connect("?clientId=ada") as old:
        session = (await get(old, "welcome"))["payload"]["session"]
        async with server.connect(f"?clientId=ada&session={session}") as new:
            assert (await get(new))["payload"]["resumed"] is True
            assert (await closed(old))[0] == 4500
            await say(new, "echo", 1)
            assert (await get(new))["type"] == "echo"


async def test_presence_survives_a_short_break_and_announces_a_long_one(start: Start) -> None:
    server = start("--leave-grace", "2")
    async with server.connect("?clientId=ada") as ada:
        await say(ada, "join_room", {"roomId": "p"})
        assert (await get(ada, "users_update"))["payload"] == ["ada"]
        async with server.connect("?clientId=bob") as bob:
            session = (await get(bob, "welcome"))["payload"]["session"]
            await say(bob, "join_room", {"roomId": "p"})
            await get(bob, "users_update")
            bob.transport.abort()
        await asyncio.sleep(0.6)  # the server looks for who is gone four times a second
        async with server.connect(f"?clientId=bob&session={session}&seq=2") as bob:
            assert (await get(bob, "welcome"))["payload"]["resumed"] is True
            await say(bob, "chat", "back", roomId="p")
            await get(bob, "chat")
            bob.transport.abort()
        told = [(await get(ada, "users_update", "chat"))["payload"] for _ in range(3)]
    assert told == [["ada", "bob"], "back", ["ada"]]


# Bad input


DEEP = '{"type":"echo","payload":' + "[" * 10_000 + "]" * 10_000 + "}"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("hello", "malformed"),
        ("", "malformed"),
        ("[1]", "not_an_object"),
        ("null", "not_an_object"),
        ("{}", "wrong_type"),
        ('{"type": 5}', "wrong_type"),
        ('{"type": "echo", "roomId": 5}', "wrong_type"),
        ('{"type": "echo", "payload": NaN}', "malformed"),
        ('{"type": "echo", "ts": 1e999}', "wrong_type"),
        (DEEP, "too_deep"),
        (b"\xff\xfe", "malformed"),
    ],
)
async def test_unreadable_messages_are_answered_and_five_end_the_connection(
    server: Child, data: str | bytes, code: str
) -> None:
    async with server.connect() as ws:
        await get(ws, "welcome")
        for _ in range(4):
            await ws.send(data)
            assert (await get(ws))["payload"]["code"] == code
        await say(ws, "echo", "still here")
        assert (await get(ws))["type"] == "echo"
        await ws.send(data)
        assert (await closed(ws))[0] == 1008


async def test_unreadable_items_of_a_batch_count_as_well(server: Child) -> None:
    async with server.connect() as ws:
        await get(ws, "welcome")
        await say(ws, "batch", [{"type": 5}] * 7, id="1")
        results = (await get(ws, "ack"))["payload"]["results"]
        assert [r["error"]["code"] for r in results] == ["wrong_type"] * 5 + ["too_many_unreadable"] * 2
        assert (await closed(ws))[0] == 1008


@pytest.mark.parametrize(
    "payload",
    [
        {"rate": -1},
        {"rate": 1e300},
        {"rate": "NaN"},
        {"rate": 10, "size": 1e9},
        {"rate": 1, "count": -1},
        [],
        7,
    ],
)
async def test_absurd_feeds_are_refused_without_a_strike(server: Child, payload: Any) -> None:
    async with server.connect() as ws:
        await get(ws, "welcome")
        for _ in range(6):
            await say(ws, "feed", payload, id="1")
            assert (await get(ws))["payload"]["code"] == "wrong_payload"


async def test_ten_megabytes_end_with_1009(server: Child) -> None:
    async with server.connect() as ws:
        await get(ws, "welcome")
        with contextlib.suppress(websockets.ConnectionClosed):
            await ws.send("x" * 10_000_000)
        assert (await closed(ws))[0] == 1009


async def test_a_client_that_still_sends_is_not_reset_before_it_can_read_why(server: Child) -> None:
    def client() -> bytes:
        huge = b"\x82\xff" + (1 << 30).to_bytes(8, "big") + bytes(4)
        with raw(server, UPGRADE + huge) as connection:
            for _ in range(40):
                connection.sendall(bytes(100_000))
            got = b""
            while data := connection.recv(4096):
                got += data
                if b"\x88" in got and got.rpartition(b"\x88")[2][1:3] == b"\x03\xf1":
                    break
            return got

    assert b"\x03\xf1" in await asyncio.to_thread(client)  # 1009


async def test_the_largest_message_is_accepted_and_one_byte_more_is_not(start: Start) -> None:
    server = start("--max-message-bytes", "1000")
    async with server.connect() as ws:
        await get(ws, "welcome")
        empty = len('{"type": "echo", "payload": ""}')
        await say(ws, "echo", "x" * (1000 - empty))
        assert len((await get(ws))["payload"]) == 1000 - empty
        await say(ws, "echo", "x" * (1001 - empty))
        assert (await closed(ws))[0] == 1009


async def test_text_that_is_not_utf_8_ends_with_1007(server: Child) -> None:
    async with server.connect() as ws:
        await get(ws, "welcome")
        await ws.send(b'{"type":"echo","payload":"\xff"}', text=True)
        assert (await closed(ws))[0] == 1007


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws", {}, 426),
        ("/ws", {"Upgrade": "websocket", "Connection": "Upgrade"}, 426),
        ("/ws", {"Origin": "http://evil.example"}, 403),
        ("/ws", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/nowhere", {}, 404),
        ("/stats", {}, 401),
        ("/healthz", {}, 200),
        ("/", {}, 200),
    ],
)
async def test_plain_requests_get_clear_answers(
    server: Child, path: str, headers: dict[str, str], status: int
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(server.url + path, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "head",
    [
        UPGRADE_HEAD.replace("HTTP/1.1", "HTTP/1.0"),
        UPGRADE_HEAD.replace("Sec-WebSocket-Version: 13\r\n", ""),
        UPGRADE_HEAD.replace("Version: 13", "Version: 8"),
        UPGRADE_HEAD.replace("Upgrade: websocket\r\n", ""),
    ],
    ids=["HTTP/1.0", "no version", "version 8", "no Upgrade"],
)
async def test_a_handshake_that_is_none_is_told_what_one_is(server: Child, head: str) -> None:
    with raw(server, head.encode()) as connection:
        answer = (await asyncio.to_thread(connection.recv, 4096)).decode()
    assert answer.split(" ")[1] == "426"
    # RFC 9110 §15.5.22 and RFC 6455 §4.4.
    assert "Upgrade: websocket\r\n" in answer
    assert "Sec-WebSocket-Version: 13\r\n" in answer


@pytest.mark.parametrize(
    ("query", "origin", "status"),
    [("?clientId=a%20b", None, 400), ("?seq=-1", None, 400), ("", "http://evil.example", 403)],
)
async def test_a_handshake_is_refused_before_the_upgrade(
    server: Child, query: str, origin: str | None, status: int
) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with server.connect(query, origin=origin):
            pass
    assert caught.value.response.status_code == status
    assert caught.value.response.body is not None
    assert b"message" in caught.value.response.body


async def test_own_pages_and_configured_origins_are_let_in(start: Start) -> None:
    server = start("--allow-origin", "https://lab.example")
    for origin in (server.url, "https://lab.example"):
        async with server.connect(origin=origin) as ws:
            await get(ws, "welcome")


async def test_one_connection_too_many_is_told_to_come_back(start: Start) -> None:
    server = start("--max-connections", "2")
    async with server.connect() as one, server.connect() as two:
        await get(one, "welcome")
        await get(two, "welcome")
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with server.connect():
                pass
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "5"
    await settled(server, lambda s: s["connections"]["websocket"] == 0)
    async with server.connect() as ws:
        await get(ws, "welcome")


# Hostile sockets


async def test_who_reads_may_ask_for_much(server: Child) -> None:
    async with server.connect(max_queue=None) as ws:
        await get(ws, "welcome")
        for n in range(3000):
            await ws.send(json.dumps({"type": "echo", "payload": [n, "x" * 2000]}))
        assert [(await get(ws, "echo"))["payload"][0] for _ in range(3000)] == list(range(3000))


def raw(server: Child, data: bytes = b"") -> socket.socket:
    """Connect with a small receive buffer, which is soon full, and send some bytes."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(5)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(data)
    return connection


UPGRADE = UPGRADE_HEAD.encode()


def masked(text: str) -> bytes:
    """Make a short text frame with a mask of zeros."""
    return b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text.encode()


async def test_resets_and_half_open_requests_leave_nothing_behind(start: Start) -> None:
    server = start("--session-ttl", "0.2", "--header-timeout", "0.5", "--heartbeat", "0")
    async with server.connect() as ws:
        await get(ws, "welcome")
    before = await settled(server, lambda s: s["sessions"] == 0)
    for _ in range(20):
        with raw(server, UPGRADE) as connection:
            assert b"101" in connection.recv(100)
            # Linger 0: close sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw(server, UPGRADE[:50]).close()
    slow = [raw(server, data) for data in (b"", b"G", UPGRADE[:50]) for _ in range(5)]
    for connection in slow:
        assert connection.recv(100) == b""
        connection.close()
    await settled(server, lambda s: s["sessions"] == 0 and no_more_than(before, s))
    async with server.connect() as ws:
        await get(ws, "welcome")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /ws HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /send HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
    ids=["no Host", "long header", "negative length", "two lengths", "TLS"],
)
async def test_what_is_no_request_gets_400_and_nothing_in_the_log(start: Start, data: bytes) -> None:
    server = start()
    with raw(server, data) as connection:
        assert b" 400 " in await asyncio.to_thread(connection.recv, 4096)
    assert await asyncio.to_thread(server.stop) == ""


async def test_a_client_that_does_not_read_is_cut_off_alone(start: Start) -> None:
    server = start("--write-limit-bytes", "100000")
    with raw(server, UPGRADE + masked('{"type":"join_room","roomId":"x"}')):
        async with server.connect() as ws:
            await say(ws, "join_room", {"roomId": "x"})
            until = time.monotonic() + 20
            while (await asyncio.to_thread(server.stats))["slow_clients"] == 0:
                assert time.monotonic() < until
                for _ in range(20):
                    await say(ws, "blob", "x" * 50_000, roomId="x")
                    await get(ws, "blob")
            await settled(server, lambda s: s["connections"]["websocket"] == 1)
            await say(ws, "echo", 1)
            assert (await get(ws, "echo"))["payload"] == 1


async def test_a_client_that_does_not_answer_pings_is_dropped(start: Start) -> None:
    server = start("--heartbeat", "1")
    begin = time.monotonic()
    with raw(server, UPGRADE) as mute:
        async with server.connect() as ws:
            while await asyncio.to_thread(mute.recv, 4096):
                pass
            assert time.monotonic() - begin > 1
            await say(ws, "echo", 1)
            assert (await get(ws, "echo"))["payload"] == 1


@pytest.mark.parametrize("seed", range(5))
async def test_random_bytes_end_one_connection_and_nothing_else(server: Child, seed: int) -> None:
    rng = random.Random(seed)
    async with server.connect() as witness, server.connect(subprotocols=["rtlab.v1.msgpack"]) as ws:
        await get(witness, "welcome")
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(200):
                await ws.send(rng.randbytes(rng.randrange(1, 60)))
        for _ in range(20):
            raw(server, UPGRADE + rng.randbytes(500)).close()
            raw(server, rng.randbytes(500)).close()
        await say(witness, "echo", seed)
        assert (await get(witness))["payload"] == seed


# Compression


async def test_compression_is_off_unless_asked_for(server: Child, start: Start) -> None:
    async with websockets.connect(server.ws_url) as ws:
        assert ws.protocol.extensions == []
    server = start("--compression")
    text = "again and " * 1000
    for factory in (None, websockets.extensions.permessage_deflate.ClientPerMessageDeflateFactory):
        extensions = (
            None if factory is None else [factory(server_no_context_takeover=True, server_max_window_bits=10)]
        )
        async with websockets.connect(
            server.ws_url, extensions=extensions, compression="deflate" if factory is None else None
        ) as ws:
            assert len(ws.protocol.extensions) == 1
            await get(ws, "welcome")
            for n in range(3):
                await say(ws, "echo", [n, text])
                assert (await get(ws))["payload"] == [n, text]


# Stop


async def test_a_stop_says_1012_to_everyone_although_one_does_not_read(start: Start) -> None:
    server = start("--stop-window", "1")
    with raw(server, UPGRADE) as mute:
        mute.recv(100)
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(server.connect()) for _ in range(20)]
            for ws in clients:
                await get(ws, "welcome")
            begin = time.monotonic()
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))

            async def ending(ws: websockets.ClientConnection) -> tuple[int, float]:
                return (await closed(ws))[0], time.monotonic() - begin

            ends = await asyncio.gather(*map(ending, clients))
            assert {code for code, _ in ends} == {1012}
            times = sorted(when for _, when in ends)
            assert times[-1] - times[0] > 0.15
            assert await stopping == ""
            assert time.monotonic() - begin < 8


async def test_full_buffers_do_not_delay_a_stop(start: Start) -> None:
    server = start("--stop-window", "0.1")
    stream = b"GET /sse?room=x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with raw(server, UPGRADE + masked('{"type":"join_room","roomId":"x"}')), raw(server, stream):
        async with server.connect() as ws:
            await say(ws, "join_room", {"roomId": "x"})
            await settled(server, lambda s: s["sessions"] == 3)
            while (await asyncio.to_thread(server.stats))["queued_bytes"] < 200_000:
                await say(ws, "blob", "x" * 100_000, roomId="x")
                await get(ws, "blob")
            begin = time.monotonic()
            assert await asyncio.to_thread(server.stop) == ""
            assert time.monotonic() - begin < 8


async def test_many_connections_leave_nothing_behind(start: Start) -> None:
    server = start("--session-ttl", "0.2", "--leave-grace", "0.1", "--history-age", "0.1")
    async with server.connect() as ws:
        await get(ws, "welcome")
    before = await settled(server, lambda s: s["sessions"] == 0)

    async def visit(n: int) -> None:
        async with server.connect() as ws:
            await say(ws, "join_room", {"roomId": f"r{n % 7}"})
            await say(ws, "feed", {"rate": 100, "count": 10_000})
            await say(ws, "chat", 1, roomId=f"r{n % 7}")
            await get(ws, "chat")
            if n % 2:
                ws.transport.abort()

    for _ in range(5):
        await asyncio.gather(*map(visit, range(40)))
    after = await settled(
        server, lambda s: s["sessions"] == s["rooms"] == s["feeds"] == 0 and no_more_than(before, s)
    )
    assert sum(after["connections"].values()) == 0
    assert after["queued_bytes"] == after["backlog_bytes"] == 0
