"""The reconnecting WebRTC client: when its peer connections are gone."""

from __future__ import annotations

import asyncio

from rtlab.client.reconnecting_clients import webrtc_channel
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import leftovers, turns, welcome


async def test_a_close_that_overlaps_a_connect_leaves_the_next_transport_to_the_next_close(monkeypatch):
    class Peer(MemoryTransport):
        gone = False

        def __init__(self, *args, **options):
            super().__init__(welcome=welcome(f"s{len(made)}"))
            made.append(self)

        async def close(self, code=1000, reason=""):
            await answered.wait()
            await super().close(code, reason)

        async def closed(self):
            self.gone = True

    made: list[Peer] = []
    answered = asyncio.Event()
    monkeypatch.setattr(webrtc_channel, "WebRTCTransport", Peer)
    conn = WebRTCChannel("http://127.0.0.1:1", heartbeat=None)
    await conn.connect()
    closing = asyncio.create_task(conn.close())
    await turns()
    async with asyncio.timeout(10):
        await conn.connect()
        answered.set()
        await closing
        assert [peer.gone for peer in made] == [True, False]
        await conn.close()
    assert [peer.gone for peer in made] == [True, True]
    assert leftovers() == []
