"""The brokers' own clients, as the benchmark uses them."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.bench.peers.bare_brokers import BARE
from rtlab.errors import LabError
from rtlab.lab.broker_servers import BROKERS, BrokerServer, find_broker


def test_every_broker_of_a_lab_has_a_bare_client():
    assert set(BARE) == set(BROKERS)


@pytest.mark.parametrize("kind", ["nats", "redis", "kafka"])  # RabbitMQ takes seconds to start
async def test_a_trip_ends_when_all_have_heard_it(kind: str):
    try:
        find_broker(kind)
    except LabError as error:
        pytest.skip(str(error))
    broker = await BrokerServer.start(kind)
    try:
        async with BARE[kind](broker.url, 2) as trip, asyncio.timeout(30):
            for number in range(3):
                await trip(b"%d" % number)
    finally:
        await broker.stop()
