"""Clients that stop reading, over real sockets: what each policy does, and that nothing is missing unsaid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets

from rtlab.client.connection import Connection
from rtlab.client.event_emitter import Disconnected, Resync
from rtlab.client.message_iterator import MessageIterator
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed
from rtlab.measure.delivery_ledger import Ledger, MessageIdentity
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message
from rtlab.server.aiohttp_app_and_routes import Server
from rtlab.server.frames_encoded_once import Burst
from rtlab.server.node import Node
from rtlab.server.rooms.fan_out import BURST_FRAMES
from rtlab.server.server_options import Options
from rtlab.server.sessions.session_with_replay import Session
from tests.server.conftest import Child

ROOMS = {
    "oldest": "drop_oldest",
    "newest": "drop_newest",
    "latest": "conflate:symbol",
    "block": "block",
    "cut": "disconnect",
}
PAD = "x" * 20_000

#: The queue's bound, what one transport holds, what a turn may add to that, and one message each.
MOST_QUEUED = 200_000 + 2 * 64 * 1024 + 2 * len(PAD)


@pytest.fixture(scope="module")
def server() -> Iterator[Child]:
    options = [word for room, policy in ROOMS.items() for word in ("--overflow", f"{room}={policy}")]
    child = Child("--write-limit-bytes", "200000", "--backlog-bytes", "800000", *options)
    yield child
    assert child.stop() == ""


class Consumer:
    """A client that has stopped reading; `read` lets it read on, to the message that ends it."""

    def __init__(self, conn: Connection, room: str, ledger: Ledger) -> None:
        self.conn = conn
        self.stream: MessageIterator = conn.__aiter__()
        self.offsets: list[int] = []
        self.skipped: list[Message] = []
        self.resyncs: list[Resync] = []
        self.ends: list[Disconnected] = []
        self.ledger = ledger
        conn.on("resync", self.resyncs.append)
        conn.on("disconnected", self.ends.append)
        ledger.watch("consumer")

    async def read(self) -> None:
        async with asyncio.timeout(30):
            async for message in self.stream:
                if message.type == "skipped":
                    self.skipped.append(message)
                    first, last = message.payload["from"], message.payload["to"]
                    self.offsets += range(first, last + 1)
                    self.ledger.dropped("consumer", "publisher", (n - 1 for n in range(first, last + 1)))
                elif message.type in ("tick", "end"):
                    assert message.offset is not None
                    self.offsets.append(message.offset)
                    self.ledger.arrived("consumer", MessageIdentity("publisher", message.offset - 1))
                    if message.type == "end":
                        return


@asynccontextmanager
async def stalled(conn: Connection, room: str) -> AsyncIterator[Consumer]:
    async with conn:
        await conn.join_room(room)
        yield Consumer(conn, room, Ledger())


async def publish_until(
    server: Child,
    conn: Connection,
    ledger: Ledger,
    room: str,
    enough: Callable[[dict[str, Any]], bool],
    at_once: int = 50,
) -> int:
    """Publish to a room until the server's counts say so, then ``end``; return how many."""
    published = 0
    until = time.monotonic() + 30
    while True:
        for _ in range(at_once):
            stamp = ledger.stamp("publisher")
            answer = await conn.request("tick", {"symbol": published % 3, "pad": PAD}, room_id=room)
            published += 1
            assert answer.payload["offset"] == published
            ledger.ok(stamp)
        if enough(await asyncio.to_thread(server.stats)):
            break
        assert time.monotonic() < until
    ledger.ok(ledger.stamp("publisher"))
    await conn.request("end", None, room_id=room)
    return published + 1


@pytest.mark.parametrize(
    ("room", "query", "policy", "over"),
    [
        ("oldest", "", "drop_oldest", WebSocketConnection),
        ("newest", "", "drop_newest", WebSocketConnection),
        ("latest", "", "conflate", WebSocketConnection),
        ("cut", "?overflow=drop_oldest", "drop_oldest", WebSocketConnection),
        ("sse", "?overflow=drop_newest", "drop_newest", ServerSentEvents),
    ],
)
async def test_what_is_dropped_is_announced_and_nothing_else_is_missing(
    server: Child, room: str, query: str, policy: str, over: Callable[..., Connection]
) -> None:
    before = await asyncio.to_thread(server.stats)
    url = server.ws_url if over is WebSocketConnection else f"{server.url}/sse"
    async with (
        WebSocketConnection(server.ws_url) as publisher,
        stalled(over(url + query, max_queue=1, client_id=f"consumer-{room}"), room) as consumer,
    ):
        ack = await publisher.join_room(room)
        assert ack.payload["offset"] == 0
        total = await publish_until(
            server,
            publisher,
            consumer.ledger,
            room,
            lambda s: s["overflow"][policy] > before["overflow"][policy] + 5,
        )
        held = await asyncio.to_thread(server.stats)
        assert held["queued_bytes"] < MOST_QUEUED
        await consumer.read()
        assert consumer.offsets == list(range(1, total + 1))
        assert consumer.skipped
        assert {message.payload["policy"] for message in consumer.skipped} == {policy}
        assert consumer.resyncs == consumer.ends == []
        account = consumer.ledger.account("consumer", "publisher")
        assert (account.names, account.dropped) == ((), total - account.received)
        assert account.dropped > 5


async def test_under_block_the_publisher_waits_and_nobody_else(server: Child) -> None:
    async with (
        WebSocketConnection(server.ws_url) as publisher,
        WebSocketConnection(server.ws_url) as other,
        stalled(WebSocketConnection(server.ws_url, max_queue=1), "block") as consumer,
    ):
        await publisher.join_room("block")
        waiting = asyncio.create_task(
            publish_until(server, publisher, consumer.ledger, "block", lambda s: False)
        )
        while (await asyncio.to_thread(server.stats))["overflow"]["block"] == 0:
            await asyncio.sleep(0.05)
        held = await asyncio.to_thread(server.stats)
        assert held["queued_bytes"] < MOST_QUEUED
        await other.ping()

        async def published() -> int:
            return (await asyncio.to_thread(server.stats))["messages_published"]

        before = -1
        while before != (before := await published()):  # until the system's buffers are full too
            await asyncio.sleep(0.3)
        await other.request("echo", 1)
        assert await published() == before
        waiting.cancel()
        reading = asyncio.create_task(consumer.read())
        # The one that waited is published now, and then this one.
        await publisher.request("end", None, room_id="block", timeout=20)
        await reading
        assert consumer.offsets == list(range(1, len(consumer.offsets) + 1))
        assert consumer.skipped == consumer.resyncs == []


async def test_a_client_that_is_cut_off_comes_back_and_misses_nothing(server: Child) -> None:
    before = (await asyncio.to_thread(server.stats))["slow_clients"]
    conn = WebSocketConnection(server.ws_url, max_queue=1, backoff=Constant(0.05))
    async with WebSocketConnection(server.ws_url) as publisher, stalled(conn, "cut-off") as consumer:
        await publisher.join_room("cut-off")
        total = await publish_until(
            server, publisher, consumer.ledger, "cut-off", lambda s: s["slow_clients"] > before, at_once=5
        )
        reading = asyncio.create_task(consumer.read())
        await reading
        assert [end.code for end in consumer.ends] in ([4000], [1006])
        assert consumer.conn.stats.connects == 2
        assert consumer.offsets == list(range(1, total + 1))
        assert consumer.resyncs == []


async def test_who_reads_may_ask_for_much(server: Child) -> None:
    before = (await asyncio.to_thread(server.stats))["slow_clients"]
    async with WebSocketConnection(server.ws_url) as conn:
        asking = (conn.request("echo", [n, "x" * 2000], timeout=30) for n in range(3000))
        answers = await asyncio.gather(*asking)
    assert [answer.payload[0] for answer in answers] == list(range(3000))
    assert (await asyncio.to_thread(server.stats))["slow_clients"] == before


@pytest.mark.parametrize(("policy", "words"), [("drop", "expected block"), ("block", "only the server")])
async def test_a_wrong_policy_is_refused_with_those_that_are_right(
    server: Child, policy: str, words: str
) -> None:
    with pytest.raises(ConnectFailed, match=words):
        await WebSocketConnection(f"{server.ws_url}?overflow={policy}").connect()


async def test_many_deliveries_are_cut_into_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 deliveries asked for by one message: each turn of the loop makes a few of them."""
    now, turns = 0.0, [0]  # deliveries alone move the clock, by 0.1 ms each: half a slice has 20
    deliver = Session.deliver_burst

    def deliver_burst(session: Session, burst: Burst, had: int | None = None) -> None:
        nonlocal now
        if session.user != "publisher":  # which gets what is left in front of its answer
            now += 0.0001 * len(burst.frames[had:])
            turns[-1] += len(burst.frames[had:])
        deliver(session, burst, had)

    async def count() -> None:
        while True:
            turns.append(0)
            await asyncio.sleep(0)

    monkeypatch.setattr(Session, "deliver_burst", deliver_burst)
    server = Server(Node(Options(token="t", stop_window=0.0), lambda: now))
    await server.start()
    try:
        async with contextlib.AsyncExitStack() as stack:
            url = f"ws://127.0.0.1:{server.port}/ws"
            members = [await stack.enter_async_context(websockets.connect(url)) for _ in range(25)]
            publisher = await stack.enter_async_context(websockets.connect(url + "?user=publisher"))
            for ws in (*members, publisher):
                await ws.send('{"type":"join_room","payload":{"roomId":"r"},"id":"1"}')
                while '"ack"' not in str(await ws.recv()):
                    pass
            ticks = [{"type": "tick", "roomId": "r", "payload": n} for n in range(400)]
            turns[:] = [0]
            counting = asyncio.create_task(count())
            await publisher.send(json.dumps({"type": "batch", "payload": ticks}))
            async with asyncio.timeout(60):
                for ws in members:
                    offset = 0
                    while offset < 400:
                        message = json.loads(await ws.recv())
                        if message["type"] == "tick":
                            offset += 1
                            assert message["offset"] == offset
            counting.cancel()
            made = turns[:]
    finally:
        await server.stop()
    assert sum(made) >= 10_000  # and who is there
    # Half a slice, and the step in which it ends: 32 deliveries, or one burst.
    assert max(made) <= 20 + BURST_FRAMES
