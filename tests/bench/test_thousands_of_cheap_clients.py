from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from rtlab.bench.thousands_of_cheap_clients import IdleHandshake, _IdleClient, hold_idle_clients
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


async def test_a_ping_is_answered_and_counted():
    """On no server: one with short heartbeats would drop who is late on a busy machine."""
    opening = IdleHandshake("/ws", "", b'"welcome"', b"hi")
    client = _IdleClient(b"GET", b"HTTP/1.1 101 ", opening)
    transport = Mock(spec=asyncio.Transport)
    client.connection_made(transport)
    client.data_received(b"HTTP/1.1 101 Switching\r\n")
    client.data_received(b'\r\n\x81\x09"welcome"')
    assert client.welcomed is None
    client.data_received(b"\x89\x00")
    assert client.pings == 1
    written = [call.args[0] for call in transport.write.call_args_list]
    assert written == [b"GET", b"\x81\x82\0\0\0\0hi", b"\x8a\x80\0\0\0\0"]
