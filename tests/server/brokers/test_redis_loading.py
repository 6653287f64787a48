"""A Redis that still loads its log: what it says of itself then is not true yet."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from rtlab.errors import LabError
from rtlab.lab.broker_servers import BrokerServer, find_broker
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.server.brokers.carrying.carrier_interface import LinkLost
from rtlab.server.brokers.drivers.redis_link import RedisLink
from tests.server.brokers.bench import CALM

#: Redis's own switch for its tests: each command that it loads takes 0.2 ms. It serves clients after 1,024.
_SLOWLY = ("--key-load-delay", "200")
_MANY = 2_000


async def test_a_link_opens_when_the_log_is_loaded_and_says_that_it_is_kept() -> None:
    try:
        find_broker("redis")
    except LabError as error:
        pytest.skip(str(error))
    server = BrokerServer("redis")
    command = server._kind.command
    server._kind = replace(server._kind, command=lambda *where: [*command(*where), *_SLOWLY])
    carrier = carrier_for(server.url, limits=CALM)
    link, refused = RedisLink(urlsplit(server.url), CALM), 0
    try:
        await server._run()
        await carrier.open()
        await asyncio.gather(*(carrier.publish("room", b"x") for _ in range(_MANY)))
        await carrier.close()
        server.kill()
        await server.restart()
        async with asyncio.timeout(60):
            while True:
                try:
                    facts = await link.connect()
                    break
                except LinkLost as error:
                    refused += "still loads its data" in str(error)
                    await link.disconnect()
                    await asyncio.sleep(0.01)
        assert facts.durable
        assert refused > 0
    finally:
        await link.disconnect()
        await carrier.close()
        await server.stop()
