"""A server that is full: who is inside goes on, knocking displaces who only knocked, a 503 is heard."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource

from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.endpoints.webrtc_offer import PEERS
from rtlab.server.node import Node
from rtlab.server.rooms.room_limits import HubLimits
from rtlab.server.server_options import Options


@asynccontextmanager
async def serving(
    max_sockets: int | None = None, clock: Callable[[], float] = time.monotonic, **options: Any
) -> AsyncIterator[Server]:
    server = Server(Node(Options(token="t", stop_window=0.0, **options), clock), max_sockets=max_sockets)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        yield http


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_polls_that_never_come_back_keep_nobody_out_and_nobody_inside_from_going_on() -> None:
    async with serving(max_connections=5, poll_timeout=0.01) as server, client(server) as http:
        mine = (await http.get("/poll?room=lobby")).json()["cursor"]
        assert (await http.get("/poll", params={"cursor": mine})).status_code in (200, 204)
        for _ in range(60):
            assert (await http.get("/poll")).status_code == 200
        assert len(server.node.sessions) == 20
        again = await http.get("/poll", params={"cursor": mine, "welcome": "1"})
        assert again.json()["messages"][0]["payload"]["resumed"] is True


async def test_a_session_that_was_used_is_not_displaced_and_the_limit_is_named() -> None:
    async with serving(max_connections=1, poll_timeout=0.01) as server, client(server) as http:
        for _ in range(4):
            cursor = (await http.get("/poll")).json()["cursor"]
            assert (await http.get("/poll", params={"cursor": cursor})).status_code == 204
        refused = await http.get("/poll")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "full")
        assert "its 4 sessions" in refused.text


async def test_a_full_server_lets_its_own_clients_come_back() -> None:
    async with serving(max_connections=1, poll_timeout=5.0) as server, client(server) as http:
        first = (await http.get("/poll")).json()
        session = first["messages"][0]["payload"]["session"]
        waiting = asyncio.create_task(http.get("/poll"))  # another's: answered at once
        cursor = (await waiting).json()["cursor"]
        held = asyncio.create_task(http.get("/poll", params={"cursor": cursor}))
        await until(lambda: server.node.connections.full)
        refused = await http.get("/poll")
        assert "its 1 connections" in refused.text
        assert not server.node.ready
        async with http.stream("GET", "/sse", params={"session": session, "seq": 0}) as stream:
            assert stream.status_code == 200
            head = ""
            async for text in stream.aiter_text():
                head += text
                if '"resumed":true' in head:
                    break
        held.cancel()


@asynccontextmanager
async def streaming(
    http: httpx.AsyncClient, query: str = "", last_id: str = ""
) -> AsyncIterator[tuple[dict[str, Any], str]]:
    """Open an event stream; yield its welcome's payload and id."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with asyncio.timeout(20), http.stream("GET", f"/sse{query}", headers=headers) as stream:
        assert stream.status_code == 200
        async for event in EventSource(stream).aiter_sse():
            if event.data:
                yield json.loads(event.data)["payload"], event.id
                return


async def test_on_a_full_server_a_session_is_no_ticket_for_another_client() -> None:
    async with (
        serving(max_connections=1) as server,
        client(server) as http,
        streaming(http, "?clientId=a") as (welcome, token),
    ):
        for how in ({"session": welcome["session"]}, {"cursor": token}):
            refused = await http.get("/poll", params={**how, "clientId": "b"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "full")
        assert len(server.node.connections.sinks) == 1


@pytest.mark.parametrize("limit", ["max_per_address", "max_per_user"])
async def test_the_connection_that_is_resumed_does_not_count(limit: str) -> None:
    async with (
        serving(poll_timeout=5.0, **{limit: 1}) as server,
        client(server) as http,
        streaming(http, "?user=ada") as (first, token),
    ):
        assert (await http.get("/poll?user=ada")).status_code == 429
        # A browser's EventSource names the event that it saw last, and nothing else.
        async with streaming(http, "?user=ada", token) as (again, token):
            assert (again["session"], again["resumed"]) == (first["session"], True)
            query = {"user": "ada", "cursor": token, "welcome": "1"}
            assert (await http.get("/poll", params=query)).status_code == 200
        assert len(server.node.sessions) == 1
        other = {"user": "ada", "clientId": "b", "session": first["session"]}
        async with streaming(http, "?user=ada", token):
            assert (await http.get("/poll", params=other)).status_code == 429


async def test_rooms_of_who_only_knocked_make_place_for_others() -> None:
    limits = HubLimits(rooms=10)
    async with serving(hub=limits, poll_timeout=0.01) as server, client(server) as http:
        used = (await http.get("/poll?room=mine")).json()
        assert (await http.get("/poll", params={"cursor": used["cursor"]})).status_code in (200, 204)
        for n in range(8):
            rooms = "&".join(f"room={n}-{m}" for m in range(3))
            await http.get(f"/poll?{rooms}")
        assert "mine" in server.node.hub
        welcome = (await http.get("/poll?room=new")).json()["messages"][0]["payload"]
        assert "error" not in welcome["rooms"]["new"]
        assert len(server.node.hub) <= 10


async def silent(port: int, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]


async def test_idle_sockets_make_place_the_oldest_first() -> None:
    now = [0.0]
    async with serving(max_sockets=10, clock=lambda: now[0]) as server:
        idle = await silent(server.port, 30)
        now[0] = 2.0
        async with client(server) as http:
            assert (await http.get("/poll")).status_code == 200
        for reader, _ in idle[:20]:
            async with asyncio.timeout(20):
                assert await reader.read() == b""
        for _, writer in idle:
            writer.close()


async def test_in_a_burst_everybody_is_answered_and_nobody_reads_an_empty_end() -> None:
    # The clock stands: however slow the machine is, everybody has just come.
    async with serving(max_sockets=10, clock=lambda: 0.0) as server:
        burst = await silent(server.port, 40)
        for _, writer in burst:
            writer.write(b"GET /poll HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        async with asyncio.timeout(20):
            heads = [await reader.readline() for reader, _ in burst]
        assert sorted({head.split()[1] for head in heads}) == [b"200", b"503"]
        assert sum(b"200" in head for head in heads) == 10
        for _, writer in burst:
            writer.close()


async def test_where_every_socket_is_at_work_the_next_one_reads_a_503() -> None:
    async with serving(max_sockets=3) as server, client(server) as http:
        streams = [http.stream("GET", "/sse") for _ in range(3)]
        for stream in streams:
            await stream.__aenter__()
        async with client(server) as other:
            refused = await other.get("/poll")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "full")
            assert "its 3 TCP connections" in refused.text
            assert refused.headers["Connection"] == "close"
            assert (await other.get("/healthz")).status_code == 200
        for stream in streams:
            await stream.__aexit__(None, None, None)

        async def admitted() -> bool:
            async with client(server) as other:
                return (await other.get("/poll")).status_code == 200

        async with asyncio.timeout(20):
            while not await admitted():
                await asyncio.sleep(0.01)


OFFER = b"POST /rtc/offer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        OFFER + b"Content-Length: 1000000\r\n\r\n",
        OFFER + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n",
    ],
    ids=["said beforehand", "in chunks"],
)
async def test_an_offer_is_refused_at_its_first_byte_too_many(sent: bytes) -> None:
    async with serving() as server:
        reader, writer = (await silent(server.port, 1))[0]
        writer.write(sent)
        if b"chunked" in sent:
            writer.write((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 8)
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == b"413"
        writer.close()


async def test_the_number_of_peers_is_looked_at_again_when_the_body_is_there() -> None:
    async with serving() as server, client(server) as http:
        assert (await http.post("/rtc/offer", json={})).status_code == 400  # loads what makes peers
        peers = server._runner.app[PEERS].peers
        (reader, writer), *_ = await silent(server.port, 1)
        writer.write(OFFER + b"Content-Length: 2\r\n\r\n{")
        await until(lambda: len(server._sockets._spoken) == 2)
        peers.max_peers = 0
        writer.write(b"}")
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == b"503"
        writer.close()
