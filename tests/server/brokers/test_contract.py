"""The contract over every carrier. All in one file: each real broker is started once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from rtlab.errors import LabError
from rtlab.lab.broker_servers import BrokerServer, find_broker
from rtlab.server.brokers.carrier_for import driver_for
from tests.server.brokers.bench import Bench
from tests.server.brokers.contract import CHECKS, Check

#: Carrier → the server it needs, what its URL ends with.
CARRIERS = {
    "memory": ("", ""),
    "nats": ("nats", ""),
    "nats-core": ("nats", "?mode=core"),
    "redis": ("redis", ""),
    "redis-pubsub": ("redis", "?mode=pubsub"),
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def servers() -> Generator[dict[str, BrokerServer]]:
    """The servers that were started so far, each by the first test that needs it."""
    started: dict[str, BrokerServer] = {}
    try:
        yield started
    finally:
        for server in started.values():
            asyncio.run(server.stop())


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CARRIERS)
async def bench(request: pytest.FixtureRequest, servers: dict[str, BrokerServer]) -> AsyncGenerator[Bench]:
    kind, mode = CARRIERS[request.param]
    server = None
    if kind:
        try:
            find_broker(kind)
        except LabError as error:
            pytest.skip(str(error))
        if kind not in servers:
            servers[kind] = await BrokerServer.start(kind)
        server = servers[kind]
    url = (server.url if server else "memory://contract") + mode
    async with Bench(lambda namespace, limits: driver_for(url, namespace, limits), server) as bench:
        yield bench


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
async def test_the_contract_holds(bench: Bench, check: Check):
    await check(bench)
