"""A server that limits its handshakes: who waits, who is refused, and how quickly."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import pytest
import websockets
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from rtlab.server.middleware.connections_per_second_queue import begins_connection, make_handshake_limit
from rtlab.server.node import Node
from rtlab.server.server_options import Options
from tests.server.conftest import Child

Start = Callable[..., Child]


async def knock(server: Child, hold: asyncio.Event) -> tuple[int, float, str | None]:
    """Try once; return the status, the seconds it took, and what ``Retry-After`` said."""
    began = time.monotonic()
    try:
        async with server.connect() as ws:
            assert json.loads(await ws.recv())["type"] == "welcome"
            took = time.monotonic() - began
            await hold.wait()
            return 101, took, None
    except websockets.InvalidStatus as refused:
        response = refused.response
        return response.status_code, time.monotonic() - began, response.headers.get("Retry-After")


async def test_the_queue_is_served_at_the_rate_and_who_finds_no_place_is_told_at_once(start: Start) -> None:
    server, hold = start("--handshake-rate", "2", "--handshake-queue", "3"), asyncio.Event()
    knocks = [asyncio.create_task(knock(server, hold)) for _ in range(20)]
    async with asyncio.timeout(30):
        while server.stats()["connections"]["websocket"] < 3:
            await asyncio.sleep(0.02)
        hold.set()
        results = await asyncio.gather(*knocks)
    let_in = sorted(took for status, took, _ in results if status == 101)
    refused = [(status, hint) for status, _, hint in results if status != 101]
    # All twenty ask within the time of a few turns; each turn that passes meanwhile frees a place.
    assert 3 <= len(let_in) <= 8
    assert all(took >= 0.45 * turn for turn, took in enumerate(let_in, 1))
    assert {status for status, _ in refused} == {503}
    assert {hint for _, hint in refused} <= {"1", "2"}
    assert server.stats()["handshakes_refused"] == len(refused)


async def test_who_leaves_the_queue_has_spent_its_turn() -> None:
    node = Node(Options(token="t", handshake_rate=1, handshake_queue=2), clock=lambda: 0.0)
    pace = make_handshake_limit(node)

    async def serve(_: web.Request) -> web.Response:
        return web.Response()

    def ask() -> asyncio.Task[web.StreamResponse]:
        return asyncio.create_task(pace(make_mocked_request("GET", "/ws"), serve))

    leaving = [ask(), ask()]
    assert await asyncio.wait(leaving, timeout=0.05) == (set(), set(leaving))  # both have their places
    for task in leaving:
        task.cancel()
    await asyncio.wait(leaving)
    assert (await ask()).status == 503


async def test_what_begins_no_connection_is_not_limited(start: Start) -> None:
    server = start("--handshake-rate", "0.5", "--handshake-queue", "1")
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        hello = (await http.get("/poll")).json()  # takes the only place, for two seconds
        session = hello["messages"][0]["payload"]["session"]
        for n in range(3):
            sent = await http.post("/send", params={"session": session}, json={"type": "echo", "payload": n})
            assert sent.status_code == 200
            answer = await http.get("/poll", params={"cursor": hello["cursor"]})
            assert answer.status_code == 200
        assert (await http.get("/healthz")).status_code == 200
        # The place was free again when the first poll was answered: one stream takes it, the next finds none.
        streams = [asyncio.create_task(http.get("/poll")) for _ in range(2)]
        statuses = sorted([(await stream).status_code for stream in streams])
        assert statuses == [200, 503]


async def test_without_the_option_nothing_is_limited(start: Start) -> None:
    server, hold = start(), asyncio.Event()
    hold.set()
    async with asyncio.timeout(20):
        results = await asyncio.gather(*(knock(server, hold) for _ in range(50)))
    assert {status for status, _, _ in results} == {101}
    assert server.stats()["handshakes_refused"] == 0


async def test_the_server_stops_although_some_still_wait(start: Start) -> None:
    server, hold = start("--handshake-rate", "0.1", "--handshake-queue", "10"), asyncio.Event()
    knocks = [asyncio.create_task(knock(server, hold)) for _ in range(3)]
    await asyncio.sleep(0.2)
    server.process.terminate()
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(*knocks, return_exceptions=True)
    assert len(outcomes) == 3
    assert await asyncio.to_thread(server.process.wait, 10) == 0


@pytest.mark.parametrize(
    ("path", "has_cursor", "begins"),
    [
        ("/ws", False, True),
        ("/sse", True, True),
        ("/rtc/offer", False, True),
        ("/poll", False, True),
        ("/poll", True, False),
        ("/send", False, False),
        ("/healthz", False, False),
    ],
)
def test_what_counts_as_a_handshake(path: str, has_cursor: bool, begins: bool) -> None:
    assert begins_connection(path, has_cursor=has_cursor) is begins
