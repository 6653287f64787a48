from __future__ import annotations

import asyncio

import pytest

from rtlab.bench.idle_clients import hold_idle_clients
from rtlab.errors import LabError
from rtlab.lab.lab import Lab

TIMEOUT = 60.0


async def test_there_are_as_many_as_it_says():
    async with (
        asyncio.timeout(TIMEOUT),
        Lab() as lab,
        hold_idle_clients(lab.url, "sse", 30) as streams,
        hold_idle_clients(lab.url, "websocket", 20) as sockets,
    ):
        connections = (await lab.stats())["connections"]
        assert (connections["sse"], connections["websocket"]) == (30, 20)
        assert (len(streams), streams.alive) == (30, 30)
        assert sockets.alive == 20
        await streams.grow(lab.url, 5)
        assert streams.alive == 35
        lab.kill()
        async with asyncio.timeout(5):
            while streams.alive or sockets.alive:
                await asyncio.sleep(0.01)


async def test_a_full_server_turns_them_away():
    async with asyncio.timeout(TIMEOUT), Lab(max_connections=10) as lab:
        with pytest.raises(ExceptionGroup) as refused:
            async with hold_idle_clients(lab.url, "websocket", 11):
                pass
        assert refused.group_contains(LabError, match="expected HTTP/1.1 101")
