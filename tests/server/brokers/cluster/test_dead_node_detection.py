"""A killed process is known to be dead at once; one that stands still is not, nor one whose line was cut."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable

from rtlab.lab.broker_servers import BrokerServer
from rtlab.protocol.message_format import Message
from rtlab.server.__main__ import _loop_factory
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.server.brokers.cluster.cluster_broker import ClusterBroker
from rtlab.server.brokers.cluster.cluster_membership import Timings
from rtlab.server.brokers.cluster.dead_node_detection import LifeLines
from rtlab.server.brokers.cluster.rendezvous_room_owner import owner_of
from rtlab.server.maybe_awaitable_values import settled
from rtlab.server.rooms.room_membership_hub import Hub
from tests.server.brokers.cluster.test_cluster_broker import Member, until

#: Silence says nothing for an hour: only the end of a process does.
TIMINGS = "Timings(beat=0.1, lease=3000.0, dead=3600.0)"

CHILD = f"""
import asyncio, sys, time
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.server.brokers.cluster.cluster_broker import ClusterBroker
from rtlab.server.brokers.cluster.cluster_membership import Timings
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.processes.parent_watch import watch_parent
from rtlab.server.__main__ import _loop_factory

async def main():
    broker = ClusterBroker(Hub(time.monotonic), carrier_for(sys.argv[1]), "node-3", timings={TIMINGS})
    await broker.start()
    stop = asyncio.Event()
    watch_parent(0, stop.set)
    await stop.wait()

with asyncio.Runner(loop_factory=_loop_factory("auto")) as runner:
    runner.run(main())
"""


def node(name: str, url: str) -> tuple[Hub, ClusterBroker]:
    hub = Hub(time.monotonic)
    return hub, ClusterBroker(hub, carrier_for(url), name, timings=eval(TIMINGS, {"Timings": Timings}))


async def test_a_killed_owner_is_known_by_its_end_and_a_stopped_one_is_not_dead() -> None:
    server = await BrokerServer.start("nats")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, server.url, stdin=asyncio.subprocess.PIPE
    )
    nodes = [node(name, server.url) for name in ("node-1", "node-2")]
    (hub, first), (_, second) = nodes
    room = next(f"r{n}" for n in range(100) if owner_of(f"r{n}", ["node-1", "node-2", "node-3"]) == "node-3")
    try:
        await asyncio.gather(first.start(), second.start())
        await until(lambda: all(len(one.report()["nodes"]) == 3 for one in (first, second)))
        await settled(first.enter(room))
        member = Member("ada")
        hub.join(member, room)
        before = [await second.publish(room, Message("chat", n)) for n in range(3)]

        child.send_signal(signal.SIGSTOP)
        beats = sum(first.trips.counts)
        await until(lambda: sum(first.trips.counts) >= beats + 10)
        assert "node-3" in first.report()["nodes"]

        child.kill()
        await until(lambda: all(len(one.report()["nodes"]) == 2 for one in (first, second)))
        assert [one.report()["deaths"] for one in (first, second)] == [{"ended": 1, "silent": 0}] * 2
        after = await second.publish(room, Message("chat", 3))
        assert after.epoch > before[0].epoch
        await until(lambda: member.published == [0, 1, 2, 3])
        assert member.resyncs == 1
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await asyncio.gather(first.stop(), second.stop())
        await server.stop()


class Pair:
    """Two ends in one process: what `a` heard of the death of `b`."""

    def __init__(self) -> None:
        self.dead: list[tuple[str, str]] = []
        self.a = LifeLines("life a", lambda *who: self.dead.append(who))
        self.b = LifeLines("life b", lambda *who: None)

    async def held(self, *, by: int = 1) -> None:
        await until(lambda: len(self.b._callers) == by)


def test_the_end_of_a_process_is_told_once_on_the_servers_own_loop() -> None:
    with asyncio.Runner(loop_factory=_loop_factory("auto")) as runner:
        runner.run(_the_end_is_told_once())


async def _the_end_is_told_once() -> None:
    pair = Pair()
    pair.a.hold("b", "life b", await pair.b.open())
    await pair.held()
    await pair.b.close()
    await until(lambda: bool(pair.dead))
    assert pair.dead == [("b", "life b")]
    await pair.a.close()


async def test_a_connection_that_only_broke_is_taken_again() -> None:
    pair = Pair()
    pair.a.hold("b", "life b", await pair.b.open())
    for _ in range(3):
        await pair.held()
        broken = set(pair.b._callers)
        for caller in broken:
            caller.abort()
        await until(lambda broken=broken: bool(pair.b._callers - broken))
    assert pair.dead == []
    await pair.a.close()
    await pair.b.close()


async def test_another_process_on_the_dead_ones_port_is_not_the_dead_one() -> None:
    pair = Pair()
    port = await pair.b.open()
    pair.a.hold("b", "life b", port)
    await pair.held()
    await pair.b.close()
    other = await asyncio.get_running_loop().create_server(
        lambda: _Says(b"something else\n"), "127.0.0.1", port
    )
    await until(lambda: bool(pair.dead))
    assert pair.dead == [("b", "life b")]
    other.close()
    await pair.a.close()


async def test_who_was_never_reached_is_not_called_dead() -> None:
    pair = Pair()
    port = await pair.b.open()
    pair.a.hold("b", "another life", port)
    pair.a.hold("c", "life c", 0)
    holding: Callable[[], bool] = lambda: any(not task.done() for task in pair.a._holding.values())  # noqa: E731
    await until(lambda: not holding() or bool(pair.b._callers))
    await pair.b.close()
    await until(lambda: not holding())
    assert pair.dead == []
    await pair.a.close()


class _Says(asyncio.Protocol):
    def __init__(self, word: bytes) -> None:
        self.word = word

    def connection_made(self, transport) -> None:
        transport.write(self.word)
