"""Event streams, long polls and their upstream, over bare httpx and httpx-sse."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
from httpx_sse import EventSource, ServerSentEvent

from rtlab.protocol.http_headers import PROTOCOL, PROTOCOL_FIELD
from tests.server.conftest import Child
from tests.server.endpoints.test_websocket import get, no_more_than, say, settled

Start = Callable[..., Child]
Json = dict[str, Any]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        yield client


class Stream:
    """One event stream; `next` returns the message and its id."""

    def __init__(self, client: httpx.AsyncClient, server: Child, query: str = "", last_id: str = "") -> None:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self._stream = client.stream("GET", f"{server.url}/sse{query}", headers=headers)

    async def __aenter__(self) -> Stream:
        self.response = await self._stream.__aenter__()
        self._events = EventSource(self.response).aiter_sse().__aiter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._events.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        await self._stream.__aexit__(*error)  # pyright: ignore[reportArgumentType]

    async def next(self, *types: str) -> tuple[Json, str]:
        while True:
            event: ServerSentEvent = await asyncio.wait_for(anext(self._events), 20)
            if not event.data:
                continue  # httpx-sse hands out heartbeats as empty events
            message = json.loads(event.data)
            assert message["type"] == event.event
            if not types or event.event in types:
                return message, event.id


async def send(client: httpx.AsyncClient, server: Child, session: str, *messages: Json) -> Json:
    body = messages[0] if len(messages) == 1 else list(messages)
    answer = await client.post(f"{server.url}/send", params={"session": session}, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def poll(client: httpx.AsyncClient, server: Child, **query: str) -> Json:
    answer = await client.get(f"{server.url}/poll", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Event streams


async def test_a_stream_has_the_headers_that_keep_proxies_out_and_begins_at_once(
    client: httpx.AsyncClient, server: Child
) -> None:
    async with Stream(client, server, "?clientId=ada") as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers[PROTOCOL_FIELD] == PROTOCOL
        assert "Content-Encoding" not in headers
        welcome, token = await stream.next()
    assert (welcome["type"], welcome["payload"]["clientId"]) == ("welcome", "ada")
    assert token == f"{welcome['payload']['session']}.0"


async def test_a_stream_and_its_upstream_do_what_a_websocket_does(
    client: httpx.AsyncClient, server: Child
) -> None:
    async with Stream(client, server) as stream:
        session = (await stream.next())[0]["payload"]["session"]
        result = await send(
            client, server, session,
            {"type": "join_room", "payload": {"roomId": "s"}, "id": "1"},
            {"type": "chat", "payload": "hi", "roomId": "s", "id": "2"},
            {"type": "echo", "payload": 5},
            {"type": "dance"},
            {"type": 7},
        )  # fmt: skip
        assert result["accepted"] == 3
        assert [r["ok"] for r in result["results"]] == [True, True, True, False, False]
        got = [(await stream.next("ack", "chat", "echo", "error"))[0] for _ in range(5)]
    assert [m["type"] for m in got] == ["ack", "chat", "ack", "echo", "error"]


async def test_a_post_that_comes_twice_is_handled_once_and_answered_twice(
    client: httpx.AsyncClient, server: Child
) -> None:
    async with Stream(client, server, "?room=twice") as stream:
        session = (await stream.next("welcome"))[0]["payload"]["session"]

        async def post(number: str, text: str) -> httpx.Response:
            body = {"type": "chat", "payload": text, "roomId": "twice"}
            headers = {"Idempotency-Key": number}
            return await client.post(
                f"{server.url}/send", params={"session": session}, json=body, headers=headers
            )

        both = await asyncio.gather(post("7", "a"), post("7", "a"))
        assert both[0].json() == both[1].json()
        assert [(await post("7", "a")).json(), (await post("6", "late")).status_code] == [both[0].json(), 409]
        for number in ("8", "no number", "no number"):
            assert (await post(number, number)).json()["accepted"] == 1
        got = [(await stream.next("chat"))[0]["payload"] for _ in range(4)]
    assert got == ["a", "8", "no number", "no number"]


async def test_every_transport_gets_the_same_messages_in_the_same_order(
    client: httpx.AsyncClient, server: Child
) -> None:
    async with (
        server.connect() as ws,
        Stream(client, server, "?room=all") as stream,
        server.connect(subprotocols=["rtlab.v1.msgpack"]) as packed,
    ):
        session = (await stream.next("welcome"))[0]["payload"]["session"]
        await say(ws, "join_room", {"roomId": "all"})
        await get(ws, "ack")
        await packed.send(msgspec.msgpack.encode({"type": "join_room", "payload": {"roomId": "all"}}))
        await get(packed, "ack")
        first = await poll(client, server, room="all")
        poller = first["messages"][0]["payload"]["session"]
        for n in range(10):
            await say(ws, "tick", n, roomId="all")
            await send(client, server, session, {"type": "tick", "payload": 100 + n, "roomId": "all"})
            await send(client, server, poller, {"type": "tick", "payload": 200 + n, "roomId": "all"})
        over_ws = [await get(ws, "tick") for _ in range(30)]
        assert [await get(packed, "tick") for _ in range(30)] == over_ws
        assert [(await stream.next("tick"))[0] for _ in range(30)] == over_ws
        polled = await poll(client, server, cursor=first["cursor"])
        assert [m for m in polled["messages"] if m["type"] == "tick"] == over_ws
    assert [m["offset"] for m in over_ws] == list(range(1, 31))


async def test_a_stream_resumes_after_the_last_event_that_was_seen(
    client: httpx.AsyncClient, server: Child
) -> None:
    async with Stream(client, server, "?room=res") as stream:
        session = (await stream.next())[0]["payload"]["session"]
        await send(client, server, session, *({"type": "n", "payload": n, "roomId": "res"} for n in range(5)))
        for _ in range(2):
            _, token = await stream.next("n")
    await send(client, server, session, {"type": "n", "payload": 5, "roomId": "res"})
    async with Stream(client, server, "?room=res", token) as stream:
        welcome, _ = await stream.next()
        assert welcome["payload"]["resumed"] is True
        assert [(await stream.next("n"))[0]["payload"] for _ in range(4)] == [2, 3, 4, 5]


async def test_rooms_resume_by_offset_when_the_session_is_gone(
    client: httpx.AsyncClient, start: Start
) -> None:
    server = start("--session-ttl", "0.1")
    async with server.connect() as ws:
        await say(ws, "join_room", {"roomId": "a room: ~1"})
        await get(ws, "ack")
        async with Stream(client, server, "?clientId=eve&room=a%20room%3A%20~1") as stream:
            welcome, _ = await stream.next()
            rooms = welcome["payload"]["rooms"]
            assert rooms["a room: ~1"]["recovered"] is True
            for n in range(3):
                await say(ws, "n", n, roomId="a room: ~1")
            _, token = await stream.next("n")
        for n in range(3, 5):
            await say(ws, "n", n, roomId="a room: ~1")
        await settled(server, lambda s: s["sessions"] == 1)
        async with Stream(client, server, "?clientId=eve", token) as stream:
            welcome, _ = await stream.next()
            assert welcome["payload"]["resumed"] is False
            room = welcome["payload"]["rooms"]["a room: ~1"]
            assert (room["recovered"], room["offset"]) == (True, 5)
            assert [(await stream.next("n"))[0]["payload"] for _ in range(4)] == [1, 2, 3, 4]


async def test_a_gap_in_a_room_is_said_in_the_welcome(client: httpx.AsyncClient, start: Start) -> None:
    server = start("--session-ttl", "0.1", "--history-messages", "2")
    async with server.connect() as ws:
        await say(ws, "join_room", {"roomId": "r"})
        await get(ws, "ack")
        async with Stream(client, server, "?room=r") as stream:
            _, token = await stream.next()
        for n in range(3):
            await say(ws, "n", n, roomId="r")
        await settled(server, lambda s: s["sessions"] == 1)
        async with Stream(client, server, "", token) as stream:
            welcome, _ = await stream.next()
            assert welcome["payload"]["rooms"]["r"]["recovered"] is False
            await say(ws, "n", 3, roomId="r")
            assert (await stream.next("n"))[0]["payload"] == 3


async def test_an_event_type_cannot_inject_lines(client: httpx.AsyncClient, server: Child) -> None:
    async with Stream(client, server, "?room=inj") as stream:
        session = (await stream.next())[0]["payload"]["session"]
        result = await send(client, server, session, {"type": "x\ndata: evil\n\n", "roomId": "inj"})
        assert result["results"][0]["error"]["code"] == "wrong_payload"
        await send(
            client, server, session, {"type": "ok", "payload": "a\r\n\r\nb\x85\u2028", "roomId": "inj"}
        )
        assert (await stream.next("ok"))[0]["payload"] == "a\r\n\r\nb\x85\u2028"


async def test_quiet_streams_get_comments(start: Start) -> None:
    server = start("--heartbeat", "0.1")
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.settimeout(5)
        raw.sendall(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        got = b""
        while got.count(b": heartbeat\n\n") < 3:
            got += await asyncio.to_thread(raw.recv, 4096)


async def test_an_http_1_0_proxy_gets_a_stream_without_chunks(server: Child) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.settimeout(5)
        raw.sendall(b"GET /sse HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        got = b""
        while b"event: welcome\ndata: {" not in got:
            got += await asyncio.to_thread(raw.recv, 4096)
    assert b"Transfer-Encoding" not in got
    assert got.partition(b"\r\n\r\n")[2].startswith(b": connected\n\nevent: welcome\n")


# Long polls


@pytest.mark.alone
async def test_a_first_poll_is_answered_at_once_and_the_next_waits(
    client: httpx.AsyncClient, start: Start
) -> None:
    server = start("--poll-timeout", "1.0")
    first = await poll(client, server, clientId="ada")
    (welcome,) = first["messages"]
    assert (welcome["type"], welcome["payload"]["clientId"]) == ("welcome", "ada")
    begin = time.monotonic()
    answer = await client.get(f"{server.url}/poll", params={"cursor": first["cursor"]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert 0.99 < time.monotonic() - begin < 5
    session = welcome["payload"]["session"]
    waiting = asyncio.create_task(poll(client, server, session=session, cursor=first["cursor"]))
    await settled(server, lambda s: s["connections"]["longpoll"] == 1)
    await send(client, server, session, {"type": "echo", "payload": 1})
    assert (await waiting)["messages"][0]["payload"] == 1


async def test_nothing_is_lost_or_repeated_between_polls(client: httpx.AsyncClient, server: Child) -> None:
    answer = await poll(client, server)
    session = answer["messages"][0]["payload"]["session"]
    await send(client, server, session, {"type": "feed", "payload": {"rate": 400, "count": 200}})
    got: list[int] = []
    cursor = answer["cursor"]
    while len(got) < 200:
        # Each answer is asked for twice: the first might have been lost on the way.
        lost = await poll(client, server, session=session, cursor=cursor)
        answer = await poll(client, server, session=session, cursor=cursor)
        assert answer["messages"][: len(lost["messages"])] == lost["messages"]
        cursor = answer["cursor"]
        got += [m["payload"]["n"] for m in answer["messages"] if m["type"] == "feed"]
    assert got == list(range(200))


async def test_of_two_polls_the_older_is_answered_at_once(client: httpx.AsyncClient, server: Child) -> None:
    first = await poll(client, server)
    url, query = f"{server.url}/poll", {"cursor": first["cursor"]}
    older = asyncio.create_task(client.get(url, params=query))
    await settled(server, lambda s: s["connections"]["longpoll"] == 1)
    newer = asyncio.create_task(client.get(url, params=query))
    answer = await asyncio.wait_for(older, 10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "replaced")
    session = first["messages"][0]["payload"]["session"]
    await send(client, server, session, {"type": "echo", "payload": 1})
    assert (await newer).json()["messages"][0]["payload"] == 1


async def test_a_client_that_reconnects_can_ask_for_its_welcome(
    client: httpx.AsyncClient, server: Child
) -> None:
    first = await poll(client, server)
    session = first["messages"][0]["payload"]["session"]
    await send(client, server, session, {"type": "echo", "payload": 1})
    answer = await poll(client, server, session=session, cursor=first["cursor"], welcome="1")
    assert [m["type"] for m in answer["messages"]] == ["welcome", "echo"]
    assert answer["messages"][0]["payload"]["resumed"] is True
    again = await poll(client, server, session=session, cursor=answer["cursor"], welcome="1")
    assert [m["type"] for m in again["messages"]] == ["welcome"]


async def test_a_poll_on_an_expired_session_says_so_and_resumes_its_rooms(
    client: httpx.AsyncClient, start: Start
) -> None:
    server = start("--session-ttl", "0.1")
    async with server.connect() as ws:
        await say(ws, "join_room", {"roomId": "r"})
        await get(ws, "ack")
        first = await poll(client, server, room="r")
        await say(ws, "n", 1, roomId="r")
        await settled(server, lambda s: s["sessions"] == 1)
        answer = await poll(client, server, cursor=first["cursor"])
        welcome, missed = [m for m in answer["messages"] if m["type"] != "users_update"]
        assert welcome["payload"]["resumed"] is False
        assert welcome["payload"]["rooms"]["r"]["recovered"] is True
        assert (missed["type"], missed["offset"]) == ("n", 1)


async def test_an_overrun_backlog_is_never_a_silent_gap(client: httpx.AsyncClient, start: Start) -> None:
    server = start("--backlog-messages", "5")
    first = await poll(client, server)
    session = first["messages"][0]["payload"]["session"]
    await send(client, server, session, *({"type": "echo", "payload": n} for n in range(9)))
    answer = await poll(client, server, session=session, cursor=first["cursor"])
    assert answer["messages"][0]["type"] == "welcome"
    assert answer["messages"][0]["payload"]["resumed"] is False
    assert answer["messages"][0]["payload"]["session"] != session


async def test_nor_is_one_that_is_overrun_at_once_while_a_poll_waits(
    client: httpx.AsyncClient, start: Start
) -> None:
    server = start("--backlog-messages", "1")
    first = await poll(client, server)
    session = first["messages"][0]["payload"]["session"]
    waiting = asyncio.create_task(poll(client, server, cursor=first["cursor"]))
    await settled(server, lambda s: s["connections"]["longpoll"] == 1)
    # Two only: of many, a busy server would answer the poll with those of its first turn.
    await send(client, server, session, *({"type": "echo", "payload": n} for n in range(2)))
    (welcome,) = (await waiting)["messages"]
    assert (welcome["type"], welcome["payload"]["resumed"]) == ("welcome", False)


# Upstream


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"hello", 400, "malformed"),
        (b"", 400, "malformed"),
        (b"5", 400, "not_an_object"),
        (b"[1,", 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b'{"type":5}', 400, "wrong_type"),
        (b'{"type":"echo","payload":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "too_deep"),
        (b"[" * 10_000, 400, "too_deep"),
        (b"[" + b"1," * 1000 + b"1]", 400, "too_large"),
        (b'{"type":"echo","payload":"' + b"x" * 10_000_000 + b'"}', 413, "too_large"),
    ],
)
async def test_bad_bodies_get_a_reason(
    client: httpx.AsyncClient, server: Child, body: bytes, status: int, code: str
) -> None:
    first = await poll(client, server)
    session = first["messages"][0]["payload"]["session"]
    answer = await client.post(f"{server.url}/send", params={"session": session}, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("carrier", ["sse", "poll"])
@pytest.mark.parametrize("body", [b"{", b"[1,", b"[7]"], ids=["message", "array", "item"])
async def test_five_unreadable_posts_end_the_session(
    client: httpx.AsyncClient, server: Child, carrier: str, body: bytes
) -> None:
    """As over a WebSocket: one way in."""
    async with contextlib.AsyncExitStack() as stack:
        if carrier == "sse":
            stream = await stack.enter_async_context(Stream(client, server))
            session = (await stream.next())[0]["payload"]["session"]
        else:
            first = await poll(client, server)
            session = first["messages"][0]["payload"]["session"]
            waiting = asyncio.create_task(
                client.get(f"{server.url}/poll", params={"cursor": first["cursor"]})
            )
            await settled(server, lambda s: s["connections"]["longpoll"] == 1)
        url, query = f"{server.url}/send", {"session": session}
        for _ in range(4):
            assert (await client.post(url, params=query, content=body)).status_code in (200, 400)
        assert (await send(client, server, session, {"type": "pong"}))["accepted"] == 1
        answer = await client.post(url, params=query, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "too_many_unreadable")
        if carrier == "sse":
            last = (await stream.next())[0]
            assert (last["type"], last["payload"]["code"]) == ("error", "too_many_unreadable")
            with pytest.raises(StopAsyncIteration):
                await stream.next()
        else:
            answer = await waiting
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "too_many_unreadable")
        assert (await client.post(url, params=query, content=body)).status_code == 404


async def test_the_cursor_of_many_rooms_with_long_names_fits_a_url(
    client: httpx.AsyncClient, start: Start
) -> None:
    """Behind nginx a request line ends at 8 KB, by default."""
    server = start("--session-ttl", "0.1")
    rooms = [f"{n:02}" + "部屋の名前はとても長い" * 4 + "あい" for n in range(13)]
    answer = await client.get(f"{server.url}/poll", params={"room": rooms})
    cursor = answer.json()["cursor"]
    url = httpx.URL(f"{server.url}/poll", params={"cursor": cursor})
    assert len(str(url)) < 4000
    await settled(server, lambda s: s["sessions"] == 0)
    again = (await client.get(url)).json()["messages"][0]["payload"]
    assert {name: room["recovered"] for name, room in again["rooms"].items()} == dict.fromkeys(rooms, True)


@pytest.mark.parametrize("how", ["header", "cursor", "lastEventId"])
async def test_a_poll_takes_its_cursor_from_the_header_too(
    client: httpx.AsyncClient, server: Child, how: str
) -> None:
    first = await poll(client, server)
    session = first["messages"][0]["payload"]["session"]
    await send(client, server, session, {"type": "echo", "payload": 1})
    headers = {"Last-Event-ID": first["cursor"]} if how == "header" else {}
    query = {} if how == "header" else {how: first["cursor"]}
    answer = await client.get(f"{server.url}/poll", params=query, headers=headers)
    assert [m["type"] for m in answer.json()["messages"]] == ["echo"]


@pytest.mark.parametrize("path", ["/sse", "/poll", "/ws", "/send", "/rtc/offer"])
@pytest.mark.parametrize(
    "query", ["room=%ff", "clientId=%ff", "session=%ff%fe", "cursor=s.1~%ff:e:1", "%ff=%"]
)
async def test_a_query_of_any_bytes_gets_an_answer_that_can_be_read(
    server: Child, path: str, query: str
) -> None:
    method = "POST" if path in ("/send", "/rtc/offer") else "GET"
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" if path == "/ws" else ""
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.settimeout(5)
        head = f"{method} {path}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n"
        raw.sendall((head + (upgrade if path == "/ws" else "") + "\r\n").encode())
        got = b""
        while b'"type":"' not in got and b'"code":' not in got:
            more = await asyncio.to_thread(raw.recv, 4096)
            assert more, got
            got += more
    assert b" 500 " not in got
    assert b"not_encodable" not in got


@pytest.mark.parametrize("body", [b"nonsense", gzip.compress(b'{"type":"echo"}')], ids=["nonsense", "gzip"])
async def test_a_compressed_body_is_refused_and_the_connection_lives(
    client: httpx.AsyncClient, server: Child, body: bytes
) -> None:
    first = await poll(client, server)
    session = first["messages"][0]["payload"]["session"]
    for url in (f"{server.url}/send?session={session}", f"{server.url}/rtc/offer"):
        answer = await client.post(url, content=body, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "compressed")
    assert (await send(client, server, session, {"type": "echo"}))["accepted"] == 1


async def test_a_last_event_id_of_any_bytes_begins_anew(server: Child) -> None:
    """A room's name that is no UTF-8 would make the welcome impossible to write, for ever."""
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.settimeout(5)
        raw.sendall(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: s.1~\xff:e:1\r\n\r\n")
        got = b""
        while b'"type":' not in got:
            got += await asyncio.to_thread(raw.recv, 4096)
    assert b'data: {"type":"welcome"' in got


@pytest.mark.parametrize("query", ["", "?session=", "?session=unknown", "?session=%00"])
async def test_an_unknown_session_gets_404_with_a_reason(
    client: httpx.AsyncClient, server: Child, query: str
) -> None:
    answer = await client.post(f"{server.url}/send{query}", json={"type": "echo"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_session")


async def test_a_session_of_another_client_counts_as_unknown(
    client: httpx.AsyncClient, server: Child
) -> None:
    session = (await poll(client, server, clientId="ada"))["messages"][0]["payload"]["session"]
    query = {"session": session, "clientId": "eve"}
    answer = await client.post(f"{server.url}/send", params=query, json={"type": "echo"})
    assert answer.status_code == 404


async def test_only_allowed_origins_may_send(client: httpx.AsyncClient, start: Start) -> None:
    server = start("--allow-origin", "https://lab.example")
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"}
    for origin, status in (("https://lab.example", 204), ("https://evil.example", 403)):
        headers = {"Origin": origin, **asking}
        answer = await client.options(f"{server.url}/send", headers=headers)
        assert answer.status_code == status
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed == (origin if status == 204 else None)
        answer = await client.get(f"{server.url}/poll", headers={"Origin": origin})
        assert answer.status_code == (200 if status == 204 else 403)
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
    session = (await poll(client, server))["messages"][0]["payload"]["session"]
    for origin, status in (("https://lab.example", 200), (server.url, 200), ("null", 403)):
        answer = await client.post(
            f"{server.url}/send?session={session}", json={"type": "ping"}, headers={"Origin": origin}
        )
        assert answer.status_code == status
    async with Stream(client, server) as stream:
        await stream.next()


# Ends


async def test_streams_and_polls_end_before_the_websockets(client: httpx.AsyncClient, start: Start) -> None:
    server = start("--stop-window", "1")
    first = await poll(client, server)
    waiting = asyncio.create_task(client.get(f"{server.url}/poll", params={"cursor": first["cursor"]}))
    await settled(server, lambda s: s["connections"]["longpoll"] == 1)
    async with Stream(client, server) as stream, server.connect() as one, server.connect() as two:
        await stream.next()
        for ws in (one, two):
            await get(ws, "welcome")
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        with pytest.raises(StopAsyncIteration):
            await stream.next()
        answer = await waiting
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
        assert not stopping.done()
        await asyncio.gather(one.wait_closed(), two.wait_closed())
        assert (one.close_code, two.close_code) == (1012, 1012)
        assert await stopping == ""


async def test_streams_and_polls_leave_nothing_behind(client: httpx.AsyncClient, start: Start) -> None:
    server = start("--session-ttl", "0.2", "--leave-grace", "0.1", "--poll-timeout", "0.1")
    await poll(client, server)
    before = await settled(server, lambda s: s["sessions"] == 0)

    async def visit(n: int) -> None:
        # Without TLS settings, which take longer to load than all the rest.
        async with httpx.AsyncClient(trust_env=False, verify=False) as own:
            if n % 2:
                async with Stream(own, server, f"?room=r{n % 5}") as stream:
                    await stream.next("users_update")
            else:
                first = await poll(own, server, room=f"r{n % 5}")
                await own.get(f"{server.url}/poll", params={"cursor": first["cursor"]})

    for _ in range(5):
        await asyncio.gather(*map(visit, range(20)))
    after = await settled(server, lambda s: s["sessions"] == s["rooms"] == 0 and no_more_than(before, s))
    assert sum(after["connections"].values()) == 0


async def test_a_stream_that_is_not_read_is_cut_off(start: Start) -> None:
    server = start("--write-limit-bytes", "100000")
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET /sse?room=x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        async with server.connect() as ws:
            await say(ws, "join_room", {"roomId": "x"})
            await settled(server, lambda s: s["connections"]["sse"] == 1)
            until = time.monotonic() + 20
            while (await asyncio.to_thread(server.stats))["slow_clients"] == 0:
                assert time.monotonic() < until
                for _ in range(20):
                    await say(ws, "blob", "x" * 50_000, roomId="x")
                    await get(ws, "blob")
            await settled(server, lambda s: s["connections"]["sse"] == 0)
