"""Long polls through a real nginx with its default limits."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.experiments.transports.proxy_matrix import start_proxies
from rtlab.lab.lab import Lab
from rtlab.processes.find_program import find_program

if find_program("nginx") is None:
    pytest.skip("nginx is not installed: apt install nginx", allow_module_level=True)

ROOMS = [f"{'部屋' * 23}{n:02}" for n in range(13)]  # 48 characters each


async def test_many_rooms_with_long_names_do_not_make_a_poll_too_long() -> None:
    async with (
        asyncio.timeout(60),
        Lab() as lab,
        start_proxies(lab, ("nginx",), timeout=20) as urls,
        WebSocketConnection(lab.ws_url) as publisher,
        LongPolling(urls["nginx", "defaults"], max_reconnect_attempts=0) as conn,
    ):
        for room in ROOMS:
            await conn.join_room(room)
            await publisher.join_room(room)
        got: list[str | None] = []
        all_came = asyncio.Event()

        def note(message: object) -> None:
            got.append(getattr(message, "room_id", None))
            if len(got) == 2 * len(ROOMS):
                all_came.set()

        conn.on("chat", note)
        for _ in range(2):
            for room in ROOMS:
                await publisher.send("chat", "x", room_id=room)
        await all_came.wait()
        assert sorted(map(str, got)) == sorted(2 * ROOMS)
        assert conn.stats.disconnects == 0
