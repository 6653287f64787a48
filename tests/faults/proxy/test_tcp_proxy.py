"""What a TCP proxy does with connections that it has just accepted."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rtlab.faults.proxy.proxy_base_class import Proxy, split_address


async def ended(client: socket.socket) -> bool:
    """Say something, and wait until the connection ends; return False if it does not, or data comes."""
    try:
        client.send(b"x")
        async with asyncio.timeout(20):
            return await asyncio.get_running_loop().sock_recv(client, 1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("again", [False, True], ids=["stays down", "starts again"])
@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_accepted_just_before_a_stop_does_not_outlive_it(
    proxy: Proxy, turns: int, again: bool
) -> None:
    with socket.create_connection(split_address(proxy.listen)) as client:
        client.setblocking(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        await proxy.stop("rst")
        if again:
            await proxy.start()
        assert await ended(client)
        assert not proxy.links
