from __future__ import annotations

import asyncio

import pytest

from rtlab.client.client_factory_by_transport import make_client
from rtlab.lab.lab import Lab
from rtlab.protocol.transport_names import TRANSPORTS


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_handler_finds_its_own_message_counted(transport: str):
    counted: list[int] = []
    async with asyncio.timeout(20), Lab() as lab, make_client(transport, lab.url) as conn:
        conn.on("echo", lambda _message: counted.append(conn.stats.bytes_in))
        for _ in range(3):
            before = conn.stats.bytes_in
            await conn.request("echo", "x" * 1000)
            assert counted[-1] == conn.stats.bytes_in >= before + 1000
    assert len(counted) == 3
