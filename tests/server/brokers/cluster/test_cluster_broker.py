"""Nodes in one process, over the memory carrier: what is lost, stopped or cut off is told, never silent."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.server.brokers.cluster.cluster_broker import ClusterBroker
from rtlab.server.brokers.cluster.cluster_membership import Timings
from rtlab.server.brokers.cluster.node_message_encoding import (
    AskHistory,
    Handed,
    NodeBeat,
    Out,
    RoomHandover,
    RoomUsers,
    Told,
    decode,
)
from rtlab.server.brokers.cluster.rendezvous_room_owner import owner_of
from rtlab.server.brokers.room_publishing_interface import BrokerFailed, Published
from rtlab.server.frames_encoded_once import EncodedFrame
from rtlab.server.maybe_awaitable_values import settled
from rtlab.server.rooms.room_membership_hub import Hub

#: So long that no busy machine makes a node look dead: time passes when a test says so.
TIMINGS = Timings(beat=0.05, lease=60.0, dead=80.0)


NAMES = ("node-1", "node-2", "node-3")


class Member:
    """Someone in a room: what it got, in order."""

    present = True

    def __init__(self, user: str) -> None:
        self.user = user
        self.got: list[Message] = []

    def deliver(self, frame: EncodedFrame) -> None:
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
        await settled(self.broker.enter(room_id, epoch, offset))
        member = Member(f"user of {self.name}")
        joined = self.hub.join(member, room_id, epoch, offset)
        member.got += [frame.message for frame in joined.missed]
        self.recovered = joined.recovered
        self.hub.announce()
        return member

    async def say(self, room_id: str, payload: object, **names: Any) -> Published:
        return await asyncio.wait_for(self.broker.publish(room_id, Message("chat", payload, **names)), 20)


class Cluster(list[Node]):
    place = ""

    def owner(self, room_id: str) -> Node:
        return next(node for node in self if node.name == self[0].broker.owner(room_id))

    def others(self, room_id: str) -> list[Node]:
        return [node for node in self if node.name != self[0].broker.owner(room_id)]

    async def bury(self, dead: Node) -> None:
        """Let a node be silent for longer than the others wait, while they hear each other."""
        dead.broker._beat()  # on its way when the node dies, as its last one may be
        dead.broker._task.cancel()
        dead.deaf = lambda message: True
        living = [node for node in self if node is not dead]
        for jump in (0.0, 50.0, 50.0):  # the first: the last heartbeat must not be heard after a jump
            for node in living:
                node.ahead += jump
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
    nodes = Cluster(Node(name, place) for name in NAMES)
    nodes.place = place
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


async def test_a_member_that_is_ahead_of_its_new_node_gets_nothing_twice(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    await one.join("r")
    there = await other.join("r")
    places = [await one.say("r", n) for n in range(1, 4)]
    await until(lambda: there.published == [1, 2, 3])
    other.deaf = lambda message: isinstance(message, Out)  # what is published is still on its way to it
    places.append(await one.say("r", 4))
    member = await other.join("r", *places[-1])
    assert other.recovered
    other.deaf = lambda message: False
    await one.say("r", 5)
    await until(lambda: 5 in member.published)
    assert member.published == [5]
    assert there.published == [1, 2, 3, 4, 5]
    assert member.resyncs == there.resyncs == 0


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


@pytest.mark.parametrize("later", ["message", "head"])
async def test_what_a_new_owner_numbered_first_reaches_members_who_missed_it(
    nodes: Cluster, later: str
) -> None:
    owner, (follower, _) = nodes.owner("r"), nodes.others("r")
    members = {node.name: await node.join("r") for node in nodes}
    await owner.say("r", 1)
    await until(lambda: all(member.published == [1] for member in members.values()))

    def deaf(message: Any) -> bool:
        return isinstance(message, Out | Told) or (isinstance(message, NodeBeat) and bool(message.heads))

    for node in nodes.others("r"):
        node.deaf = deaf
    await nodes.bury(owner)
    nodes.remove(owner)
    new = next(node for node in nodes if node.name == follower.broker.owner("r"))
    (other,) = [node for node in nodes if node is not new]
    new.deaf = lambda message: False
    await new.say("r", 2)
    await new.say("r", 3)
    missed = members[other.name]
    assert missed.published == [1]
    other.deaf = lambda message: isinstance(message, Out) and later == "head"
    await new.say("r", 4)
    await until(lambda: missed.published == [1, 2, 3, 4])
    assert missed.resyncs == 1
    assert [message.offset for message in missed.got if message.type == "chat"] == [1, 1, 2, 3]


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
    assert [node.broker.report()["lapses"] for node in (one, other)] == [1, 0]


async def test_a_goodbye_hands_the_rooms_over_and_nobody_notices(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    member = await one.join("r")
    names = {"client_id": "ada", "stream": "out", "seq": 1, "id": "x"}
    first = await other.say("r", "once", **names)
    saying = [asyncio.create_task(other.say("r", n)) for n in range(2, 12)]
    await nodes.owner("r").broker.stop()
    await asyncio.gather(*saying, return_exceptions=True)  # of one or the other the answer may be lost
    assert await other.say("r", "once", **names) == first
    after = await other.say("r", "after")
    await until(lambda: "after" in member.published)
    places = [(message.epoch, message.offset) for message in member.got if message.type == "chat"]
    assert places == [(first.epoch, n) for n in range(1, after.offset + 1)]
    assert not member.resyncs


async def test_a_node_that_joins_goes_on_where_the_former_owner_ended(nodes: Cluster) -> None:
    room = next(f"r{n}" for n in range(100) if owner_of(f"r{n}", [*NAMES, "node-4"]) == "node-4")
    one, _ = nodes.others(room)
    member = await one.join(room)
    places = [await one.say(room, n) for n in range(1, 4)]
    new = Node("node-4", nodes.place)
    try:
        await new.broker.start()
        await until(lambda: all(node.broker.owner(room) == "node-4" for node in nodes))
        assert await one.say(room, 4) == (places[0].epoch, 4)
        resumed = await new.join(room, *places[0])
        assert new.recovered
        assert resumed.published == [2, 3, 4]
        assert await new.say(room, 5) == (places[0].epoch, 5)
    finally:
        await new.broker.stop()
    assert await one.say(room, 6) == (places[0].epoch, 6)
    await until(lambda: 6 in member.published)
    assert member.published == [1, 2, 3, 4, 5, 6]
    assert not member.resyncs + resumed.resyncs


async def test_what_a_former_owner_does_not_hand_over_is_begun_anew(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    member = await one.join("r")
    before = await one.say("r", "before")
    for node in (one, other):
        node.deaf = lambda message: isinstance(message, RoomHandover | Handed)
    await nodes.owner("r").broker.stop()
    saying = asyncio.create_task(one.say("r", "after"))
    await asyncio.sleep(0)
    for node in (one, other):
        node.ahead += 2.0  # longer than a new owner waits
    after = await saying
    assert after.epoch > before.epoch
    await until(lambda: member.published == ["before", "after"])
    assert member.resyncs == 1


async def test_presence_is_that_of_all_nodes(nodes: Cluster) -> None:
    members = [await node.join("r") for node in nodes]
    users = sorted(member.user for member in members)

    def shown(member: Member) -> list[str]:
        return sorted([m.payload for m in member.got if m.type == "users_update"][-1])

    async def until_shown(expected: list[str], by: list[Node]) -> None:
        async with asyncio.timeout(20):
            while any(shown(member) != expected for member in members[: len(by)]):
                for node in by:  # a buried one must say nothing: it would be heard, and live
                    node.hub.announce()
                await asyncio.sleep(0.01)

    await until_shown(users, nodes)
    await nodes.bury(nodes[2])
    await until_shown([member.user for member in members[:2]], nodes[:2])


async def test_what_comes_next_is_delivered_while_the_owner_is_asked(nodes: Cluster) -> None:
    one, other = nodes.others("r")
    member = await one.join("r")
    await other.say("r", 1)
    await until(lambda: member.published == [1])
    nodes.owner("r").deaf = lambda message: isinstance(message, AskHistory)
    one.broker._followed.catch_up("r")
    await other.say("r", 2)  # acknowledged: whatever epoch the answer names, this one must not be dropped
    await until(lambda: member.published == [1, 2])
    nodes.owner("r").deaf = lambda message: False
    await other.say("r", 3)
    await until(lambda: member.published == [1, 2, 3])
    assert not member.resyncs


async def test_nodes_with_other_clocks_agree_all_the_same() -> None:
    place = uuid.uuid4().hex
    nodes = Cluster(Node(name, place) for name in NAMES)
    for node, hours in zip(nodes, (0, 9, -5), strict=True):
        node.ahead = 3600.0 * hours
    await asyncio.gather(*(node.broker.start() for node in nodes))
    try:
        await until(lambda: all(len(node.broker.report()["nodes"]) == 3 for node in nodes))
        members = [await node.join("r") for node in nodes]
        places = [await node.say("r", node.name) for node in nodes]
        assert places == [(places[0].epoch, offset) for offset in (1, 2, 3)]
        await until(lambda: all(member.published == list(NAMES) for member in members))
        for node in nodes:
            node.broker.tick()
        assert all(node.broker.report()["deaths"] == {"ended": 0, "silent": 0} for node in nodes)
    finally:
        for node in nodes:
            await node.broker.stop()


async def test_the_users_of_a_process_that_has_ended_are_shown_no_more(nodes: Cluster) -> None:
    node = nodes[0]
    await node.join("r")

    def beat(life: str, *, bye: bool = False) -> None:
        node.broker._on_beat(NodeBeat("x", life, 0, 0.0, bye=bye))

    def shown(life: str) -> bool:
        node.broker._on_users(RoomUsers("x", life, "r", ["someone"]))
        return "x" in node.hub["r"].presence.elsewhere

    assert not shown("first"), "its first heartbeat has not come yet"
    beat("first")
    assert shown("first")
    beat("second")  # it was started anew before anyone noticed that it had ended
    assert "x" not in node.hub["r"].presence.elsewhere
    assert not shown("first"), "this came late"
    assert shown("second")
    beat("second", bye=True)
    assert "x" not in node.hub["r"].presence.elsewhere
    assert not shown("second"), "this came late"


async def saying_goodbye(node: Node) -> asyncio.Task[None]:
    """Begin to stop a node; it has announced its end, and still hears the others."""
    stopping = asyncio.create_task(node.broker.stop())
    await asyncio.sleep(0)
    return stopping


async def test_a_node_that_has_said_goodbye_answers_no_question_about_its_users(nodes: Cluster) -> None:
    leaving, asking, _ = nodes
    await leaving.join("r")
    stopping = await saying_goodbye(leaving)
    said: list[Any] = []
    leaving.broker._link.say = lambda subject, message: said.append(message)  # type: ignore[method-assign]
    life = asking.broker._members.my_life
    leaving.broker._on_users(RoomUsers(asking.name, life, "r", [], ask=True))
    leaving.broker._on_beat(NodeBeat(asking.name, life, 0, 0.0, hello=True))
    leaving.broker._on_beat(NodeBeat("node-4", "its life", 0, 0.0))
    assert not [message for message in said if isinstance(message, RoomUsers | NodeBeat)]
    await stopping


async def test_a_node_that_has_said_goodbye_claims_no_room_again(nodes: Cluster) -> None:
    owner, (other, _) = nodes.owner("r"), nodes.others("r")
    await owner.say("r", "hi")
    stopping = await saying_goodbye(owner)
    owner.broker._on_beat(NodeBeat(other.name, other.broker._members.my_life, 0, 0.0, bye=True))
    owner.ahead += 2.0  # longer than a new owner waits for handovers
    assert owner.broker.owner("r") == owner.name
    assert owner.broker._owned.claim("r") is None
    await stopping


@pytest.mark.parametrize("begun", ["by its owner", "without its owner"])
async def test_who_enters_a_room_that_begins_here_sees_who_is_there_on_other_nodes(
    nodes: Cluster, begun: str
) -> None:
    owner, (there, other) = nodes.owner("r"), nodes.others("r")
    member = await there.join("r")
    await until(lambda: there.name in owner.hub["r"].presence.elsewhere)
    here = owner if begun == "by its owner" else other
    if here is owner:
        owner.hub.sweep()  # nobody is in it here, and nothing was published
    assert "r" not in here.hub
    if here is owner:
        await owner.join("r")
    else:
        here.hub.join(Member("early"), "r")  # its owner did not answer in time
    await until(lambda: here.hub["r"].presence.elsewhere.get(there.name) == [member.user])
