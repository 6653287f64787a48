"""The contract over every carrier. All in one file: each real broker is started once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.lab.broker_servers import BrokerServer, find_broker
from rtlab.lab.lab import Lab
from rtlab.server.brokers.carrier_by_broker_url import carrier_for, driver_for
from rtlab.server.brokers.carrying.subject_names import full_name
from rtlab.server.brokers.room_publishing_interface import BrokerFailed
from tests.server.brokers.bench import CALM, PATIENCE, Bench, Listener, numbered, until
from tests.server.brokers.contract import CHECKS, END, Check, heard_all

#: Carrier → the server it needs, what its URL ends with.
CARRIERS = {
    "memory": ("", ""),
    "nats": ("nats", ""),
    "nats-core": ("nats", "?mode=core"),
    "redis": ("redis", ""),
    "redis-pubsub": ("redis", "?mode=pubsub"),
    "rabbitmq": ("rabbitmq", ""),
    "kafka": ("kafka", ""),
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


#: How what is stored under a name is deleted behind the carriers' back.
DELETE: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "nats": lambda driver, _: driver._streams.delete_stream(driver._stream),
    "redis": lambda driver, name: driver._link.command("DEL", name),
    "amqp": lambda driver, name: driver._publisher.queue_delete(name),
    "kafka": lambda driver, name: driver._admin.delete_topics([name]),
}


async def test_what_is_deleted_under_way_is_made_again_and_nothing_is_lost_in_silence(bench: Bench):
    if bench.server is None or not bench.capabilities.replay:
        return
    subject = bench.subject()
    limits = replace(CALM, probe_interval=0.2, answer_timeout=2.0)
    sender, node = await bench.node(limits), await bench.node(limits)
    listener = await bench.listen(node, subject)
    await bench.publish(sender, subject, numbered(3))
    await listener.until(lambda: len(listener.bodies) == 3)
    await DELETE[bench.server.url.partition(":")[0]](sender.link.driver, full_name(bench.namespace, subject))
    accepted: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        while len(accepted) < 3:
            body = b"after %d" % len(accepted)
            try:
                await sender.carrier.publish(subject, body)
            except BrokerFailed:
                continue
            accepted.append(body)
        while accepted[-1] not in listener.bodies:  # what came before the gap may be lost, and that is told
            with contextlib.suppress(BrokerFailed):
                await sender.carrier.publish(subject, accepted[-1])
            await asyncio.sleep(0.05)
    heard = list(dict.fromkeys(listener.bodies))
    assert heard == [*numbered(3), *accepted] or listener.gaps
    await asyncio.gather(sender.carrier.close(), node.carrier.close())


async def test_a_topic_is_not_deleted_because_an_answer_is_looked_at_late(bench: Bench):
    if bench.server is None or bench.server.kind != "kafka":
        return
    followed, new = bench.subject(), bench.subject()
    node = await bench.node()
    listener = await bench.listen(node, followed)
    driver: Any = node.link.driver
    make = driver._make

    async def make_slowly(name: str) -> None:
        await make(name)
        if name == full_name(bench.namespace, new):  # the first message's answer has to wait for this one
            await listener.until(lambda: b"first" in listener.bodies)
            await bench.publish(bench.a, followed, [b"behind it"])
            await listener.until(lambda: b"behind it" in listener.bodies)

    driver._make = make_slowly
    await asyncio.gather(node.carrier.publish(followed, b"first"), node.carrier.publish(new, b"second"))
    assert await heard_all(bench, listener, followed) == [b"first", b"behind it"]
    assert [why for up, why in node.events if not up] == listener.gaps == []
    await node.carrier.close()


async def test_the_nodes_of_a_lab_share_a_room_through_it(bench: Bench):
    if bench.server is None or bench.server.kind not in ("rabbitmq", "kafka"):
        return  # tests/lab has the others
    room, seen = "a *.> room", {"a": list[Any](), "b": list[Any]()}
    async with (
        Lab(nodes=2, broker=bench.server.url) as lab,
        WebSocketConnection(lab.nodes[0].ws_url) as a,
        WebSocketConnection(lab.nodes[1].ws_url) as b,
    ):
        for name, conn in (("a", a), ("b", b)):
            conn.on("n", seen[name].append)
            await conn.join_room(room)
        await asyncio.gather(*(conn.request("n", n, room_id=room) for n in range(10) for conn in (a, b)))
        await until(lambda: all(len(messages) == 20 for messages in seen.values()))
    places = [[(m.epoch, m.offset, m.payload, m.client_id) for m in seen[name]] for name in "ab"]
    assert places[0] == places[1]
    assert [offset for _, offset, _, _ in places[0]] == list(range(1, 21))


async def test_nodes_that_come_at_the_same_moment_all_find_what_one_of_them_makes(bench: Bench):
    subject, listeners = bench.subject(), [Listener() for _ in range(4)]
    nodes = await asyncio.gather(*(bench.node(namespace=f"{bench.namespace} new") for _ in listeners))
    await asyncio.gather(
        *(node.carrier.subscribe(subject, one.hear) for node, one in zip(nodes, listeners, strict=True))
    )
    await bench.publish(nodes[0], subject, [END])
    for one in listeners:
        await one.until(lambda one=one: END in one.bodies)
    await asyncio.gather(*(node.carrier.close() for node in nodes))


async def test_an_opening_that_is_given_up_leaves_no_connection_open(bench: Bench):
    if bench.server is None or bench.server.kind == "rabbitmq":
        return  # RabbitMQ's client library may leave a coroutine that was not awaited, and no connection
    gc.freeze()  # the collections shall look at what is made from here on, not at all that earlier tests left
    for n in range(40):
        carrier = carrier_for(bench.server.url, limits=CALM)
        opening = asyncio.create_task(carrier.open())
        await asyncio.wait([opening], timeout=n * 1e-3)
        opening.cancel()
        await asyncio.wait([opening])
        await carrier.close()
        gc.collect()  # a connection that nobody has closed is reported when it is collected


async def refusal(url: str) -> str:
    carrier = carrier_for(url, limits=replace(CALM, connect_timeout=1.0))
    with pytest.raises(BrokerFailed) as refused:
        await carrier.open()
    return str(refused.value)


async def test_a_url_that_leads_nowhere_says_what_to_do(bench: Bench, held_port: int):
    if bench.server is None:
        return
    scheme = bench.server.url.partition(":")[0]
    assert "nobody listens there: start" in await refusal(f"{scheme}://127.0.0.1:{held_port}")


#: Scheme → what a server of another protocol is told to be; those that never answer wait for the time limit.
OTHERS = {"nats": "NATS", "redis": "Redis", "amqp": "AMQP", "kafka": "Kafka"}


@pytest.mark.parametrize("scheme", OTHERS)
async def test_another_protocol_on_the_port_is_told(servers: dict[str, BrokerServer], scheme: str):
    other = servers.get("nats" if scheme != "nats" else "redis")
    if other is None:
        pytest.skip("needs another broker: apt install redis-server")
    assert OTHERS[scheme] in await refusal(f"{scheme}://127.0.0.1:{other.port}")


@pytest.mark.parametrize("kind", ["redis", "rabbitmq", "kafka"])
async def test_a_wrong_password_is_told(servers: dict[str, BrokerServer], kind: str):
    if kind not in servers:
        pytest.skip(f"{kind} is not installed")
    scheme, _, address = servers[kind].url.partition("://")
    text = await refusal(f"{scheme}://somebody:wrong-word@{address}")
    assert "refuses the name or the password" in text
    assert "wrong-word" not in text


@pytest.mark.parametrize("kind", ["redis", "rabbitmq", "kafka"])
async def test_a_refused_link_leaves_nothing_to_a_finalizer(servers: dict[str, BrokerServer], kind: str):
    """What a finalizer begins where no event loop runs is never awaited: a warning, an error here."""
    if kind not in servers:
        pytest.skip(f"{kind} is not installed")
    scheme, _, address = servers[kind].url.partition("://")

    def be_refused() -> None:
        gc.disable()
        try:
            with asyncio.Runner() as runner:
                runner.run(refusal(f"{scheme}://somebody:wrong-word@{address}"))
                asyncio.set_event_loop(None)
                gc.collect()  # the loop is still open: with a closed one, a finalizer may have nothing to do
        finally:
            gc.enable()

    await asyncio.to_thread(be_refused)


async def test_a_virtual_host_that_is_not_there_is_told(servers: dict[str, BrokerServer]):
    if "rabbitmq" not in servers:
        pytest.skip("rabbitmq is not installed")
    assert "virtual host 'nowhere'" in await refusal(f"{servers['rabbitmq'].url}/nowhere")


@pytest.mark.parametrize("url", ["mqtt://here", "here", "redis://here?mode=cluster", "nats://here:port"])
async def test_a_url_of_no_broker_is_refused(url: str):
    with pytest.raises(BrokerFailed, match="expected"):
        carrier_for(url)
