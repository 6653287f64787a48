from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.rooms.fan_out import BURST_FRAMES, FanOut
from rtlab.server.rooms.room_membership_hub import Hub

#: Seconds of a slice, and of a delivery, on a clock that only deliveries move: half a slice is for them.
SLICE = 1.0
COST = 0.005
#: Deliveries in a turn at most: half a slice, and the step in which that ends.
MOST = round(0.5 * SLICE / COST) + 32


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.delivered = 0
        self.turns = Turns(lambda: self.now, SLICE)
        self.fan_out = FanOut(self.turns)
        self.hub = Hub(lambda: self.now, new_epoch=lambda: "e", fan_out=self.fan_out)
        self.broker = SingleNodeBroker(self.hub)

    def join(self, count: int, room_id: str) -> list[Member]:
        members = [Member(self, f"{room_id} {n}") for n in range(count)]
        for member in members:
            member.join(room_id)
        return members

    def publish(self, room_id: str, n: int) -> None:
        self.broker.publish(room_id, Message("n", n))


class Member:
    """Gets frames, as a session does: what is its rooms' first, then what is its own."""

    present = True

    def __init__(self, bench: Bench, user: str) -> None:
        self.user = user
        self.rooms: dict[str, None] = {}
        self.got: list[int] = []
        self.pieces = 0
        self.alone: list[bool] = []  # as its bursts said
        self.reacts: Callable[[], object] | None = None  # done once, while it is delivered to
        self._bench = bench

    def join(self, room_id: str) -> None:
        self._bench.hub.join(self, room_id)
        self.rooms[room_id] = None

    def leave(self, room_id: str) -> None:
        self._bench.hub.leave(self, room_id)
        del self.rooms[room_id]

    def deliver(self, frame: EncodedFrame) -> None:
        self._bench.fan_out.catch_up(self)
        self.got.append(frame.message.payload)
        self._react()

    def deliver_burst(self, burst: Burst, had: int | None) -> None:
        frames = burst.frames[had:]
        self.got += [frame.message.payload for frame in frames]
        self.pieces += bool(frames)
        self._bench.now += COST * len(frames)
        self._bench.delivered += len(frames)
        self.alone.append(burst.alone)
        self._react()

    def _react(self) -> None:
        reacts, self.reacts = self.reacts, None
        if reacts is not None:
            reacts()

    def blocks(self, room_id: str) -> bool:
        return False

    def when_changed(self, action: object) -> asyncio.Future[Any]:
        raise NotImplementedError


async def turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_published_in_one_turn_comes_as_one_piece() -> None:
    bench = Bench()
    members = bench.join(3, "r")
    for n in range(10):
        bench.publish("r", n)
    assert not bench.delivered
    await turn()
    assert all((member.got, member.pieces) == (list(range(10)), 1) for member in members)
    for n in range(BURST_FRAMES + 1):  # a piece is bounded
        bench.publish("r", n)
    while bench.fan_out.outgoing:
        await turn()
    assert all(member.pieces == 3 for member in members)


async def test_a_huge_room_is_served_in_slices_and_holds_no_other_room_up() -> None:
    bench = Bench()
    huge, (small,) = bench.join(1000, "huge"), bench.join(1, "small")
    bench.publish("huge", 1)
    bench.publish("huge", 2)
    in_turns: list[int] = []
    while bench.fan_out.outgoing:
        before = bench.delivered
        await turn()
        in_turns.append(bench.delivered - before)
        if len(in_turns) == 1:
            bench.publish("small", 7)
    assert max(in_turns) <= MOST
    assert len(in_turns) >= 2000 / MOST
    assert all(member.got == [1, 2] for member in huge)
    assert small.got == [7]


async def test_a_small_rooms_message_does_not_wait_for_a_huge_rooms() -> None:
    bench = Bench()
    bench.join(1000, "huge")
    (small,) = bench.join(1, "small")
    bench.publish("huge", 1)
    await turn()
    assert bench.fan_out.outgoing
    bench.publish("small", 7)
    await turn()
    assert small.got == [7]
    assert bench.fan_out.outgoing


async def test_publishers_wait_while_a_room_lags_and_keep_their_order() -> None:
    bench = Bench()
    members = bench.join(300, "r")
    bench.publish("r", 1)
    assert not bench.fan_out.lags("r")
    await turn()
    assert bench.fan_out.lags("r")
    waiting = [bench.fan_out.when_delivered("r", lambda n=n: bench.publish("r", n)) for n in (2, 3)]
    assert not any(result.done() for result in waiting)
    await asyncio.gather(*waiting)
    while bench.fan_out.outgoing:
        await turn()
    assert all(member.got == [1, 2, 3] for member in members)


async def test_what_is_a_members_own_comes_behind_what_was_published_before() -> None:
    bench = Bench()
    one, other = bench.join(2, "r")
    bench.publish("r", 1)
    one.deliver(EncodedFrame(Message("ack", -1)))
    bench.publish("r", 2)
    await turn()
    assert one.got == [1, -1, 2]
    assert (other.got, other.pieces) == ([1, 2], 1)


async def test_the_only_member_of_a_room_gets_each_message_at_once_and_in_order() -> None:
    bench = Bench()
    one, other = bench.join(2, "r")
    other.join("s")
    bench.publish("s", 1)
    assert other.got == [1]
    bench.publish("r", 2)
    assert other.got == [1]
    bench.publish("s", 3)  # what was said to it before, in another room, goes first
    assert other.got == [1, 2, 3]
    bench.publish("r", 4)
    one.leave("r")
    bench.publish("r", 5)  # in a room that was not its own until now
    assert (one.got, other.got) == ([2, 4], [1, 2, 3, 4, 5])
    await turn()
    assert (one.got, other.got) == ([2, 4], [1, 2, 3, 4, 5])
    other.leave("r")
    bench.publish("r", 6)
    assert not bench.fan_out.outgoing


async def test_only_a_burst_beside_which_nothing_is_on_its_way_need_not_wait() -> None:
    bench = Bench()
    one, _ = bench.join(2, "r")
    two, _ = bench.join(2, "s")
    bench.publish("r", 1)
    await turn()
    assert one.alone == [True]
    bench.publish("r", 2)
    bench.publish("s", 2)
    while bench.fan_out.outgoing:
        await turn()
    assert (one.alone, two.alone) == ([True, False], [True])  # of two the second is the last
    for n in range(BURST_FRAMES + 1):
        bench.publish("r", n)
    while bench.fan_out.outgoing:
        await turn()
    assert one.alone == [True, False, False, True]


async def test_the_last_of_a_rooms_bursts_is_alone_although_no_time_has_passed() -> None:
    bench = Bench()
    (one, _) = bench.join(2, "r")
    bench.turns._slice = 1_000.0  # pyright: ignore[reportPrivateUsage]
    for n in range(BURST_FRAMES + 1):
        bench.publish("r", n)
    await turn()
    assert not bench.fan_out.outgoing
    assert one.alone == [False, True]


async def test_a_burst_that_is_no_longer_alone_is_not_called_so() -> None:
    bench = Bench()
    members = bench.join(300, "r")
    others = bench.join(300, "s")
    bench.publish("r", 1)
    await turn()
    assert bench.fan_out.outgoing
    bench.publish("s", 2)
    while bench.fan_out.outgoing:
        await turn()
    said = [alone for member in members + others for alone in member.alone]
    assert len(said) == 600
    assert {True, False} == set(said)
    assert {alone for member in members for alone in member.alone} == {True, False}


async def test_who_leaves_while_a_room_is_delivered_gets_what_was_said_before_once() -> None:
    bench = Bench()
    members = bench.join(5, "r")

    def all_leave() -> None:
        for member in members:
            member.reacts = None
        for member in members:
            member.leave("r")

    for member in members:  # whoever is first takes all others with it
        member.reacts = all_leave
    bench.publish("r", 1)
    await turn()
    bench.publish("r", 2)
    await turn()
    assert [member.got for member in members] == [[1]] * 5
    assert not bench.fan_out.outgoing


def test_who_leaves_while_it_is_delivered_to_harms_nobody_where_there_are_no_turns() -> None:
    bench = Bench()
    bench.hub = Hub(lambda: 0.0, new_epoch=lambda: "e", fan_out=FanOut())
    bench.broker = SingleNodeBroker(bench.hub)
    members = bench.join(3, "r")
    members[0].reacts = lambda: members[0].leave("r")
    bench.publish("r", 1)
    bench.publish("r", 2)
    assert [member.got for member in members] == [[1], [1, 2], [1, 2]]


async def test_a_delivery_may_finish_its_own_room() -> None:
    bench = Bench()
    members = bench.join(100, "r")
    members[-1].reacts = members[50].reacts = lambda: bench.fan_out.finish("r")
    bench.publish("r", 1)
    while bench.fan_out.outgoing:
        await turn()
    bench.publish("r", 2)
    while bench.fan_out.outgoing:
        await turn()
    assert all(member.got == [1, 2] for member in members)


async def test_a_message_is_history_before_anybody_gets_it() -> None:
    bench = Bench()
    (member,) = bench.join(1, "r")
    missed: list[int] = []

    def say_more() -> None:
        bench.publish("r", 2)
        joined = bench.hub.join(Member(bench, "new"), "r", "e", 0)
        missed.extend(frame.message.payload for frame in joined.missed)

    member.reacts = say_more
    bench.publish("r", 1)
    assert member.got == missed == [1, 2]


async def test_everybody_gets_what_it_would_have_got_at_once() -> None:
    """A random play of joins, leaves, own messages and publishes, held against plain lists."""
    rng = random.Random(9)
    bench = Bench()
    members = [Member(bench, f"{n}") for n in range(40)]
    # Of each member: the number of what it should have, and its room; a member's own has none.
    expected: dict[Member, list[tuple[int, str]]] = {member: [] for member in members}
    for n in range(1000):
        member, room_id = rng.choice(members), rng.choice("abc")
        match rng.randrange(20):
            case 0 | 1:
                member.join(room_id)
            case 2 if room_id in member.rooms:
                member.leave(room_id)
            case 3:
                member.deliver(EncodedFrame(Message("own", n)))
                expected[member].append((n, ""))
            case 4:
                await turn()
            case _:
                bench.publish(room_id, n)
                for someone in members:
                    if room_id in someone.rooms:
                        expected[someone].append((n, room_id))
    while bench.fan_out.outgoing:
        await turn()
    for member, order in expected.items():
        assert sorted(member.got) == [n for n, _ in order]
        for room in "abc":
            # Rooms may pass each other; within one, and beside a member's own, the order holds.
            mine = [n for n, room_id in order if room_id in ("", room)]
            assert [n for n in member.got if n in set(mine)] == mine
