"""Three nodes and a real broker: one order, another node to come back to, and the end of a room's owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.lab.cluster_start import start_broker
from rtlab.lab.lab import Lab
from rtlab.protocol.message_format import Message
from rtlab.server.brokers.cluster.rendezvous_room_owner import owner_of

NODES = ["node-1", "node-2", "node-3"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_three_nodes_are_one_server_and_outlive_one_of_them() -> None:
    async with Lab(nodes=3, broker="nats") as lab:
        # A room of the last node: the clients are on the other two.
        room = next(f"room {n}" for n in range(100) if owner_of(f"room {n}", NODES) == "node-3")
        seen: dict[str, list[Message]] = {"a": [], "b": []}
        resyncs: list[object] = []
        async with WebSocketConnection(lab.ws_urls[0]) as a, WebSocketConnection(lab.ws_urls[1]) as b:
            for name, conn in (("a", a), ("b", b)):
                conn.on("n", seen[name].append)
                conn.on("resync", resyncs.append)
                await conn.join_room(room)
            await asyncio.gather(*(conn.request("n", n, room_id=room) for n in range(10) for conn in (a, b)))
            await until(lambda: all(len(messages) == 20 for messages in seen.values()))
            places = [(m.epoch, m.offset, m.payload, m.client_id) for m in seen["a"]]
            assert places == [(m.epoch, m.offset, m.payload, m.client_id) for m in seen["b"]]
            assert [offset for _, offset, _, _ in places] == list(range(1, 21))
            assert not resyncs

            # On a node that never had a client in this room, from the middle on.
            missed: list[Message] = []
            async with WebSocketConnection(lab.ws_urls[2]) as late:
                late.on("n", missed.append)
                payload = {"roomId": room, "epoch": places[0][0], "offset": 15}
                answer = await late.request("join_room", payload)
                assert answer.payload["recovered"] is True
                await until(lambda: len(missed) == 5)
            assert [m.offset for m in missed] == [16, 17, 18, 19, 20]

            # A planned restart of the owner hands the room over, and back: nobody misses anything.
            await lab.restart(2)
            before = await a.request("n", "handed over", room_id=room)
            while len((await lab.stats(0))["cluster"]["nodes"]) < 3:
                await asyncio.sleep(0.02)
            back = await a.request("n", "and back", room_id=room)
            await until(lambda: all(messages[-1].payload == "and back" for messages in seen.values()))
            assert (before.payload["offset"], back.payload["offset"]) == (21, 22)
            assert {message.epoch for message in seen["b"]} == {places[0][0]}
            assert not resyncs

            addresses = lab.urls
            lab.kill(2)
            await until(lambda: len(resyncs) == 2)
            assert [node.alive for node in lab.nodes] == [True, True, False]
            assert lab.urls == addresses
            with pytest.raises(LabError, match="node-3 was killed by SIGKILL"):
                await lab.stats(2)
            # The other node may have noticed first: what this one still sends to the dead owner is refused.
            while "node-3" in (await lab.stats(0))["cluster"]["nodes"]:
                await asyncio.sleep(0.02)
            ack = await a.request("n", "after", room_id=room)
            assert ack.payload["epoch"] > places[0][0]
            await until(lambda: all(messages[-1].payload == "after" for messages in seen.values()))


async def test_a_word_that_is_no_broker_says_which_there_are() -> None:
    with pytest.raises(LabError, match="nats, redis, rabbitmq, kafka"):
        await start_broker({"broker": "carrier pigeon"})
