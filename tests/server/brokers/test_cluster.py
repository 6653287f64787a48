"""Nodes in one process, over the memory carrier: what is lost, stopped or cut off is told, never silent."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from rtlab.protocol.messages import Message
from rtlab.server.brokers.base import BrokerFailed, Published
from rtlab.server.brokers.carrier_for import carrier_for
from rtlab.server.brokers.cluster import ClusterBroker
from rtlab.server.brokers.membership import Timings
from rtlab.server.brokers.node_messages import Out, decode
from rtlab.server.frames import Frame
from rtlab.server.ordered_answers import settled
from rtlab.server.rooms.hub import Hub

#: So long that no busy machine makes a node look dead: time passes when a test says so.
TIMINGS = Timings(beat=0.05, lease=60.0, dead=80.0)


class Member:
    """Someone in a room: what it got, in order."""

    present = True

    def __init__(self, user: str) -> None:
        self.user = user
        self.got: list[Message] = []

    def deliver(self, frame: Frame) -> None:
        self.got.append(frame.message)

    def blocks(self, room_id: str) -> bool:
        return False

    def when_changed(self, action: Callable[[], Any]) -> asyncio.Future[Any]:
        raise NotImplementedError

    @property
    def published(self) -> list[Any]:
        return [message.payload for message in self.got if message.type == "chat"]

    @property
    def resyncs(self) -> int:
        return sum(message.type == "resync" for message in self.got)


class Node:
    """A hub and its broker; `deaf` drops what it hears, `clock` can be moved."""

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self.hub = Hub(time.monotonic)
        self.ahead = 0.0
        self.deaf: Callable[[Any], bool] = lambda message: False
        carrier = carrier_for(f"memory://{place}")
        self.broker = ClusterBroker(
            self.hub, carrier, name, timings=TIMINGS, clock=lambda: time.monotonic() + self.ahead
        )
        receive = self.broker._receive
        # Bound when the broker subscribes.
        self.broker._receive = lambda carried: (  # type: ignore[method-assign]
            None if self.deaf(decode(carried.body)) else receive(carried)
        )

    def heard_since(self, when: dict[str, float]) -> bool:
        members = self.broker._members
        heard = {self.name: members._echoed, **members._heard}
        return all(heard[name] >= when[self.name] for name in when)

    async def join(self, room_id: str, epoch: str | None = None, offset: int | None = None) -> Member:
        await settled(self.broker.enter(room_id))
        member = Member(f"user of {self.name}")
        joined = self.hub.join(member, room_id, epoch, offset)
        member.got += [frame.message for frame in joined.missed]
        self.recovered = joined.recovered
        self.hub.announce()
        return member

    async def say(self, room_id: str, payload: object, **names: Any) -> Published:
        return await asyncio.wait_for(self.broker.publish(room_id, Message("chat", payload, **names)), 20)


class Cluster(list[Node]):
    def owner(self, room_id: str) -> Node:
        return next(node for node in self if node.name == self[0].broker.owner(room_id))

    def others(self, room_id: str) -> list[Node]:
        return [node for node in self if node.name != self[0].broker.owner(room_id)]

    async def bury(self, dead: Node) -> None:
        """Let a node be silent for longer than the others wait, while they hear each other."""
        dead.broker._task.cancel()
        dead.deaf = lambda message: True
        living = [node for node in self if node is not dead]
        for _ in range(2):
            for node in living:
                node.ahead += 50.0
            now = {node.name: node.broker._clock() for node in living}
            await until(partial(_all_heard, living, now))


def _all_heard(living: list[Node], now: dict[str, float]) -> bool:
    return all(node.heard_since(now) for node in living)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def nodes() -> AsyncIterator[Cluster]:
    place = uuid.uuid4().hex
    nodes = Cluster(Node(f"node-{n}", place) for n in (1, 2, 3))
    await asyncio.gather(*(node.broker.start() for node in nodes))
    await until(lambda: all(len(node.broker.report()["nodes"]) == 3 for node in nodes))
    yield nodes
    for node in nodes:
        await node.broker.stop()


async def test_one_order_and_one_numbering_whoever_publishes(nodes: Cluster) -> None:
    members = [await node.join("r") for node in nodes]

    async def talk(node: Node) -> list[Published]:
        return [await node.say("r", f"{node.name} {n}") for n in range(20)]

    places = [place for places in await asyncio.gather(*map(talk, nodes)) for place in places]
    await until(lambda: all(len(member.published) == 60 for member in members))
    first = members[0].published
    assert all(member.published == first for member in members)
    assert sorted(offset for _, offset in places) == list(range(1, 61))
    assert len({epoch for epoch, _ in places}) == 1
    assert not any(member.resyncs for member in members)


async def test_a_lost_message_is_fetched_from_the_owner_and_a_lost_last_one_too(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    member = await one.join("r")
    one.deaf = lambda message: isinstance(message, Out) and message.message.payload in (2, 3, 5)
    for n in range(1, 6):
        await other.say("r", n)
    await until(lambda: len(member.published) == 5)
    assert member.published == [1, 2, 3, 4, 5]
    assert not member.resyncs


async def test_a_member_resumes_on_a_node_that_never_had_the_room(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    await one.join("r")
    places = [await one.say("r", n) for n in range(1, 6)]
    member = await other.join("r", *places[1])
    assert other.recovered
    assert member.published == [3, 4, 5]


async def test_a_repeat_through_another_node_gets_the_first_ones_place(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    member = await one.join("r")
    names = {"client_id": "ada", "stream": "out", "seq": 1, "id": "x"}
    assert await one.say("r", "once", **names) == await other.say("r", "once", **names)
    await other.say("r", "more")
    await until(lambda: "more" in member.published)
    assert member.published == ["once", "more"]


async def test_a_dead_owner_is_followed_by_a_new_epoch_and_the_members_are_told(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    member = await one.join("r")
    before = await other.say("r", "before")
    await until(lambda: member.published == ["before"])
    owner = nodes.owner("r")
    await nodes.bury(owner)
    await until(lambda: member.resyncs == 1)
    after = await other.say("r", "after")
    assert after.epoch > before.epoch
    assert after.offset == 1
    await until(lambda: member.published == ["before", "after"])
    assert owner.name not in one.broker.report()["nodes"]


async def test_an_owner_that_was_stopped_publishes_nothing_under_its_old_epoch(nodes: Cluster) -> None:
    one, _ = nodes.others("r")
    member = await one.join("r")
    before = await one.say("r", "before")
    owner = nodes.owner("r")
    owner.ahead += 61.0  # as if it had been stopped for so long, with a message in its hands
    after = await owner.say("r", "after")
    assert after.epoch > before.epoch
    await until(lambda: member.published == ["before", "after"])
    assert member.resyncs == 1


async def test_a_node_that_hears_nothing_says_so_and_catches_up_later(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    member = await one.join("r")
    await other.say("r", 1)
    await until(lambda: member.published == [1])
    one.deaf = lambda message: True
    await other.say("r", 2)
    one.ahead += 61.0
    assert not one.broker.report()["connected"]
    sending = asyncio.create_task(one.say("r", "too early"))
    await asyncio.sleep(0)
    one.ahead += 5.0
    with pytest.raises(BrokerFailed, match="cut off"):
        await sending
    one.deaf = lambda message: False
    await other.say("r", 3)
    await until(lambda: 3 in member.published)
    assert member.published in ([1, 2, 3], [1, 3])
    assert 2 in member.published or member.resyncs, "never a silent gap"


async def test_a_goodbye_moves_the_rooms_at_once(nodes: Cluster) -> None:
    _, other = nodes.others("r")
    await nodes.owner("r").say("r", "before")
    await nodes.owner("r").broker.stop()
    assert (await other.say("r", "after")).offset == 1


async def test_presence_is_that_of_all_nodes(nodes: Cluster) -> None:
    members = [await node.join("r") for node in nodes]
    users = sorted(member.user for member in members)

    def shown(member: Member) -> list[str]:
        return sorted([m.payload for m in member.got if m.type == "users_update"][-1])

    def announce() -> None:
        for node in nodes:
            node.hub.announce()

    async def until_shown(expected: list[str], to: list[Member]) -> None:
        async with asyncio.timeout(20):
            while any(shown(member) != expected for member in to):
                announce()
                await asyncio.sleep(0.01)

    await until_shown(users, members)
    await nodes.bury(nodes[2])
    await until_shown([member.user for member in members[:2]], members[:2])
