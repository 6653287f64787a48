"""The contract over every carrier. All in one file: each real broker is started once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace

import pytest
import pytest_asyncio

from rtlab.errors import LabError
from rtlab.lab.broker_servers import BrokerServer, find_broker
from rtlab.processes.host import free_port
from rtlab.server.brokers.base import BrokerFailed
from rtlab.server.brokers.carrier_for import carrier_for, driver_for
from tests.server.brokers.bench import CALM, Bench, numbered, until
from tests.server.brokers.contract import CHECKS, END, Check, heard_all

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


async def test_what_a_killed_server_keeps(bench: Bench):
    if bench.server is None:
        return  # it ends with this process
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, numbered(5))
    await listener.until(lambda: len(listener.bodies) == 5)
    bench.server.kill()
    await until(lambda: not bench.a.carrier.up and not bench.b.carrier.up)
    waiting = bench.a.carrier.publish(subject, b"meanwhile")
    await bench.server.restart()
    await until(lambda: bench.a.carrier.up and bench.b.carrier.up)
    await waiting
    stored = bench.capabilities.survives_restart
    assert stored == bench.capabilities.replay  # of those here, the ones that store anything keep it
    if stored:
        kept = [one.body for one in await bench.b.carrier.history(subject, 100)]
        assert kept == [*numbered(5), b"meanwhile"]
        assert await heard_all(bench, listener, subject) == kept
    else:
        assert (await heard_all(bench, listener, subject))[:5] == numbered(5)
    assert bool(listener.gaps) == (not stored)


async def test_a_server_that_stands_still_is_found_and_used_again(bench: Bench):
    if bench.server is None:
        return
    subject = bench.subject()
    node = await bench.node(replace(CALM, probe_interval=0.2, connect_timeout=2.0))
    listener = await bench.listen(node, subject)
    bench.server.pause()
    try:
        await until(lambda: not node.carrier.up)
    finally:
        bench.server.resume()
    await until(lambda: node.carrier.up)
    await bench.publish(bench.a, subject, [END])
    await until(lambda: END in listener.bodies or bool(listener.gaps))
    await node.carrier.close()


async def refusal(url: str) -> str:
    carrier = carrier_for(url, limits=replace(CALM, connect_timeout=2.0))
    with pytest.raises(BrokerFailed) as refused:
        await carrier.open()
    return str(refused.value)


async def test_a_url_that_leads_nowhere_says_what_to_do(bench: Bench):
    if bench.server is None:
        return
    scheme = bench.server.url.partition(":")[0]
    assert "nobody listens there: start" in await refusal(f"{scheme}://127.0.0.1:{free_port()}")


async def test_another_protocol_on_the_port_is_told(servers: dict[str, BrokerServer]):
    if len(servers) < 2:
        pytest.skip("needs both brokers: apt install redis-server")
    nats, redis = (servers[kind].port for kind in ("nats", "redis"))
    assert "Redis" in await refusal(f"redis://127.0.0.1:{nats}")
    assert "NATS" in await refusal(f"nats://127.0.0.1:{redis}")


async def test_a_wrong_password_is_told(servers: dict[str, BrokerServer]):
    if "redis" not in servers:
        pytest.skip("redis-server is not installed: apt install redis-server")
    address = f"127.0.0.1:{servers['redis'].port}"
    text = await refusal(f"redis://:wrong-word@{address}")
    assert "refuses the name or the password" in text
    assert "wrong-word" not in text


@pytest.mark.parametrize("url", ["mqtt://here", "here", "redis://here?mode=cluster", "nats://here:port"])
async def test_a_url_of_no_broker_is_refused(url: str):
    with pytest.raises(BrokerFailed, match="expected"):
        carrier_for(url)
