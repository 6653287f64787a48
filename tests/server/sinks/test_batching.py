"""What a client asks to be collected: one frame for many messages, none missing, none twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
import websockets

from rtlab.client.connection import Connection
from rtlab.client.event_emitter import Disconnected
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Constant
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK, codec_for
from rtlab.protocol.message_format import Message

pytestmark = pytest.mark.asyncio(loop_scope="module")

TICKS = list(range(100))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True) as running:
        yield running


async def publish(lab: Lab, room: str) -> None:
    async with WebSocketConnection(lab.ws_url) as publisher:
        await publisher.join_room(room)
        items = [{"type": "tick", "payload": n, "roomId": room} for n in TICKS]
        answer = await publisher.request("batch", items, timeout=20)
        assert all("offset" in result for result in answer.payload["results"]), answer.payload


async def frames_until(ws: Any, kind: str) -> list[dict[str, Any]]:
    """Return the frames up to the first that is, or ends with, a message of a type."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while True:
            data = await ws.recv()
            frame = json.loads(data) if isinstance(data, str) else vars_of(data)
            found.append(frame)
            last = frame["payload"][-1] if frame["type"] == "batch" else frame
            if last["type"] == kind:
                return found


def vars_of(data: bytes) -> dict[str, Any]:
    message = MSGPACK.decode(data)
    return {"type": message.type, "payload": message.payload}


@pytest.mark.parametrize("codec", ["rtlab.v1.json", "rtlab.v1.msgpack"])
async def test_a_hundred_messages_are_a_few_frames_and_an_answer_takes_them_along(
    lab: Lab, codec: str
) -> None:
    url, speak = f"{lab.ws_url}?batch=1:40", codec_for(codec)
    async with websockets.connect(url, subprotocols=[websockets.Subprotocol(codec)], compression=None) as ws:
        join = speak.encode(Message("join_room", room_id=codec, id="j"))
        await ws.send(join if speak.binary else join.decode())
        await frames_until(ws, "ack")
        await publish(lab, codec)
        ask = speak.encode(Message("echo", "end", "e"))
        await ws.send(ask if speak.binary else ask.decode())
        frames = await frames_until(ws, "echo")
    messages = [m for frame in frames for m in (frame["payload"] if frame["type"] == "batch" else [frame])]
    assert [m["payload"] for m in messages if m["type"] == "tick"] == TICKS
    assert len(frames) <= 5
    assert max(len(frame["payload"]) for frame in frames if frame["type"] == "batch") == 40


async def test_what_was_collected_leaves_before_a_close_is_answered(lab: Lab) -> None:
    url = f"{lab.ws_url}?batch=1:40"
    async with websockets.connect(
        url, subprotocols=[websockets.Subprotocol("rtlab.v1.json")], compression=None
    ) as ws:
        await ws.recv()
        await ws.send(b'{"type":"echo","payload":1}', text=True)  # no id: its echo waits for others
        await ws.close()
        frames = [JSON.decode(frame) async for frame in ws]
    assert [frame.payload for frame in frames] == [1]


async def ticks(conn: Connection, cut: Callable[[], Awaitable[object]] | None) -> list[int]:
    """Read to the last tick; after the tenth, cut what carries them."""
    found: list[int] = []
    async with asyncio.timeout(30):
        async for message in conn:
            if message.type == "tick":
                found.append(message.payload)
                if len(found) == 10 and cut is not None:
                    await cut()
                if message.payload == TICKS[-1]:
                    return found
    raise AssertionError("the connection ended")


@pytest.mark.parametrize(
    ("make", "path"),
    [(WebSocketConnection, "/ws"), (ServerSentEvents, "/sse"), (LongPolling, "/poll"), (WebRTCChannel, "")],
)
async def test_a_cut_in_the_middle_of_a_batch_costs_nothing(
    lab: Lab, make: Callable[..., Connection], path: str
) -> None:
    cut = lab.faults.cut if path else None  # the proxy carries no UDP
    room = f"cut{path.strip('/')}"
    conn = make(
        f"{lab.faults.url}{path}?batch=0.05:40",
        backoff=Constant(seconds=0.0),
        max_reconnect_attempts=50,
        max_queue=3,
    )
    ends: list[Disconnected] = []
    conn.on("disconnected", ends.append)
    async with conn:
        await conn.join_room(room)
        reading = asyncio.create_task(ticks(conn, cut))
        await publish(lab, room)
        assert await reading == TICKS
        async with asyncio.timeout(10):  # what the client had received already needed no connection
            while not (ends or path in ("/poll", "")):  # between two polls there is nothing to cut
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("asked", ["", "2", "0.1:0", "0.1:2000", "nan", "-1", "0.1:5:999999999", "1e1"])
async def test_a_window_that_is_none_is_refused(lab: Lab, asked: str) -> None:
    with pytest.raises(ConnectFailed, match="batch: expected DELAY"):
        await WebSocketConnection(f"{lab.ws_url}?batch={asked}", max_reconnect_attempts=0).connect()
