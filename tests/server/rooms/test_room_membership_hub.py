from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.frames_encoded_once import Burst, EncodedFrame
from rtlab.server.rooms.room_limits import HubLimits
from rtlab.server.rooms.room_membership_hub import Hub


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Someone:
    def __init__(self, user: str) -> None:
        self.user = user
        self.present = True
        self.rooms: dict[str, None] = {}
        self.got: list[Message] = []

    def blocks(self, room_id: str) -> bool:
        return False

    def when_changed(self, action: object) -> asyncio.Future[Any]:
        raise NotImplementedError

    def deliver(self, frame: EncodedFrame) -> None:
        self.got.append(frame.message)

    def deliver_burst(self, burst: Burst, had: int | None) -> None:
        self.got += [frame.message for frame in burst.frames[had:]]

    def users(self) -> list[list[str]]:
        return [m.payload for m in self.got if m.type == "users_update"]

    def offsets(self) -> list[int | None]:
        return [m.offset for m in self.got if m.type == "chat"]


def make(**limits: float) -> tuple[Hub, Clock]:
    clock = Clock()
    epochs = iter(f"e{n}" for n in range(1000))
    return Hub(clock, HubLimits(**limits), new_epoch=lambda: next(epochs)), clock  # pyright: ignore[reportArgumentType]


def publish(hub: Hub, n: int = 1, room: str = "r") -> None:
    for _ in range(n):
        SingleNodeBroker(hub).publish(room, Message("chat", "hi"))


def test_offsets_are_dense_and_the_same_for_everyone() -> None:
    hub, _ = make()
    ada, bob = Someone("ada"), Someone("bob")
    hub.join(ada, "r")
    publish(hub, 2)
    hub.join(bob, "r")
    publish(hub, 2)
    assert ada.offsets() == [1, 2, 3, 4]
    assert bob.offsets() == [3, 4]


def test_a_join_without_a_place_has_missed_nothing() -> None:
    hub, _ = make()
    hub.join(Someone("ada"), "r")
    publish(hub, 5)
    assert hub.join(Someone("bob"), "r") == (True, "e0", 5, [], 5, False)


def test_a_join_with_a_place_gets_what_came_after_it() -> None:
    hub, _ = make()
    hub.join(Someone("ada"), "r")
    publish(hub, 5)
    joined = hub.join(Someone("bob"), "r", "e0", 2)
    assert joined.recovered
    assert [f.message.offset for f in joined.missed] == [3, 4, 5]
    assert hub.join(Someone("eve"), "r", "e0", 5).missed == []


def test_a_gap_that_cannot_be_filled_is_said() -> None:
    hub, _ = make(history_messages=3)
    hub.join(Someone("ada"), "r")
    publish(hub, 5)
    assert hub.join(Someone("bob"), "r", "e0", 2).recovered
    for epoch, offset in (("e0", 1), ("other", 5), ("e0", 6), ("e0", -1)):
        joined = hub.join(Someone("bob"), "r", epoch, offset)
        assert (joined.recovered, joined.missed) == (False, [])
        assert joined.offset == 5


@given(
    kept=st.integers(1, 20),
    published=st.integers(0, 50),
    offset=st.integers(-5, 60),
)
def test_recovery_is_all_or_nothing(kept: int, published: int, offset: int) -> None:
    hub, _ = make(history_messages=kept)
    hub.join(Someone("ada"), "r")
    publish(hub, published)
    joined = hub.join(Someone("bob"), "r", "e0", offset)
    offsets = [f.message.offset for f in joined.missed]
    if joined.recovered:
        assert offsets == list(range(offset + 1, published + 1))
    else:
        assert offsets == []
        assert not max(0, published - kept) <= offset <= published


def test_history_is_bounded_by_age_and_by_bytes() -> None:
    hub, clock = make(history_age=10, history_bytes=500)
    hub.join(Someone("ada"), "r")
    publish(hub, 3)
    clock.now = 9
    publish(hub)
    clock.now = 11
    assert not hub.join(Someone("bob"), "r", "e0", 2).recovered
    assert hub.join(Someone("bob"), "r", "e0", 3).recovered
    SingleNodeBroker(hub).publish("r", Message("chat", "x" * 1000))
    assert not hub.join(Someone("bob"), "r", "e0", 4).recovered


def test_presence_shows_each_user_once_over_connections() -> None:
    hub, _ = make()
    ada, laptop, phone = Someone("ada"), Someone("bob"), Someone("bob")
    for someone in (ada, laptop, phone):
        hub.join(someone, "r")
        hub.announce()
    assert ada.users() == [["ada"], ["ada", "bob"], ["ada", "bob"]]
    assert phone.users() == [["ada", "bob"]]
    hub.leave(phone, "r")
    hub.announce()
    assert len(ada.users()) == 3
    hub.leave(laptop, "r")
    hub.announce()
    assert ada.users()[-1] == ["ada"]


def test_a_lost_connection_is_announced_only_after_its_grace() -> None:
    hub, clock = make(leave_grace=2)
    ada, bob = Someone("ada"), Someone("bob")
    hub.join(ada, "r")
    hub.join(bob, "r")
    hub.announce()
    bob.present = False
    hub.presence(bob, ["r"])
    hub.announce()
    clock.now = 1.9
    hub.sweep()
    assert ada.users() == [["ada", "bob"]]
    clock.now = 2.1
    hub.sweep()
    assert ada.users()[-1] == ["ada"]


def test_who_comes_back_within_the_grace_never_left_nor_lost_the_place() -> None:
    hub, clock = make(leave_grace=2)
    ada, bob = Someone("ada"), Someone("bob")
    hub.join(bob, "r")
    hub.join(ada, "r")
    hub.announce()
    bob.present = False
    hub.presence(bob, ["r"])
    clock.now = 1
    hub.sweep()
    bob.present = True
    hub.presence(bob, ["r"])
    clock.now = 5
    hub.sweep()
    assert ada.users() == [["bob", "ada"]]


def test_users_that_come_and_go_in_one_turn_are_announced_once() -> None:
    hub, _ = make()
    people = [Someone(str(n)) for n in range(50)]
    for someone in people:
        hub.join(someone, "r")
    hub.leave(people[7], "r")
    hub.announce()
    users = [str(n) for n in range(50) if n != 7]
    assert [someone.users() for someone in people] == [[] if n == 7 else [users] for n in range(50)]


def test_large_rooms_do_not_announce_their_users() -> None:
    hub, _ = make(presence_users=3)
    people = [Someone(str(n)) for n in range(5)]
    for someone in people:
        hub.join(someone, "r")
        hub.announce()
    assert [len(users) for users in people[0].users()] == [1, 2, 3]


def test_an_empty_room_lives_as_long_as_its_history_and_comes_back_with_another_epoch() -> None:
    hub, clock = make(history_age=10)
    ada = Someone("ada")
    hub.join(ada, "r")
    publish(hub, 2)
    hub.leave(ada, "r")
    clock.now = 9
    hub.sweep()
    assert hub.join(ada, "r", "e0", 1).recovered
    hub.leave(ada, "r")
    clock.now = 11
    hub.sweep()
    assert len(hub) == 0
    assert hub.join(ada, "r", "e0", 2) == (False, "e1", 0, [], 0, False)


def test_a_member_that_leaves_gets_nothing_more() -> None:
    hub, _ = make()
    ada, bob = Someone("ada"), Someone("bob")
    hub.join(ada, "r")
    hub.join(bob, "r")
    hub.leave(bob, "r")
    hub.leave(bob, "nowhere")
    publish(hub)
    assert bob.offsets() == []


def test_a_room_with_a_cache_gives_whoever_enters_the_newest_message() -> None:
    hub, clock = make(cache_rooms="price/", history_messages=2, history_age=10)
    ada = Someone("ada")
    assert hub.join(ada, "price/a").missed == []
    publish(hub, 4, "price/a")
    clock.now = 500  # the history has gone, the newest value has not
    fresh = hub.join(Someone("bob"), "price/a")
    assert ([f.message.offset for f in fresh.missed], fresh.place, fresh.recovered) == ([4], 3, True)
    back = hub.join(Someone("eve"), "price/a", "e0", 1)
    assert ([f.message.offset for f in back.missed], back.place, back.recovered) == ([4], 3, False)
    assert hub.join(ada, "price/a", "e0", 4).missed == []  # nothing is newer than what it has
    hub.join(ada, "other")
    publish(hub, 4, "other")
    assert hub.join(Someone("bob"), "other").missed == []


def test_what_comes_back_from_its_place_gets_all_of_it_with_a_cache_too() -> None:
    hub, _ = make(cache_rooms="")
    hub.join(Someone("ada"), "r")
    publish(hub, 4)
    back = hub.join(Someone("bob"), "r", "e0", 1)
    assert ([f.message.offset for f in back.missed], back.place, back.recovered) == ([2, 3, 4], 1, True)


def test_a_cache_is_forgotten_some_time_after_everybody_left() -> None:
    hub, clock = make(cache_rooms="r", history_age=10, cache_age=100)
    ada = Someone("ada")
    hub.join(ada, "r")
    publish(hub)
    hub.leave(ada, "r")
    clock.now = 99
    hub.sweep()
    assert len(hub) == 1
    clock.now = 101
    hub.sweep()
    assert len(hub) == 0


def test_a_member_that_asks_quietly_is_told_that_it_is_one_and_nobody_else_hears_of_it() -> None:
    hub, _ = make()
    ada, bob = Someone("ada"), Someone("bob")
    hub.join(ada, "r")
    hub.join(bob, "r")
    hub.announce()
    told = len(ada.users())
    assert hub.join(bob, "r", "e0", 0, quietly=True).member
    hub.announce()
    assert len(ada.users()) == told
    hub.leave(bob, "r")
    hub.announce()
    assert not hub.join(bob, "r", "e0", 0, quietly=True).member
    hub.announce()
    assert ada.users()[-1] == ["ada", "bob"]


def test_announcements_wait_when_the_turn_has_done_its_share() -> None:
    told: list[None] = []
    left = [2]

    def spent() -> bool:
        left[0] -= 1
        return left[0] < 0

    hub = Hub(Clock(), presence_changed=lambda: told.append(None), spent=spent)
    people = [Someone(f"p{n}") for n in range(5)]
    for n, person in enumerate(people):
        hub.join(person, f"r{n}")
    told.clear()
    hub.announce()
    assert [len(person.users()) for person in people] == [1, 1, 1, 0, 0]
    assert told == [None]
    left[0] = 9
    hub.announce()
    assert [person.users() for person in people] == [[[f"p{n}"]] for n in range(5)]


@pytest.mark.parametrize("end", ["idle", "its place is needed"])
def test_the_other_nodes_hear_that_the_last_user_has_left_a_room_that_ends(end: str) -> None:
    hub, _ = make(rooms=1)
    told: list[tuple[str, list[str]]] = []
    hub.tell_nodes = lambda room_id, users: told.append((room_id, users))
    ada = Someone("ada")
    hub.join(ada, "r")
    hub.announce()
    hub.leave(ada, "r")
    if end == "idle":
        hub.sweep()
    else:
        assert hub.has_place()
    assert "r" not in hub
    hub.announce()
    assert told == [("r", ["ada"]), ("r", [])]


def test_a_room_whose_user_may_come_back_gives_its_place_and_the_other_nodes_hear_of_it() -> None:
    hub, _ = make(rooms=1, leave_grace=2)
    told: list[tuple[str, list[str]]] = []
    hub.tell_nodes = lambda room_id, users: told.append((room_id, users))
    ada = Someone("ada")
    hub.join(ada, "r")
    hub.announce()
    hub.leave(ada, "r", grace=True)
    assert hub.has_place()
    assert told == [("r", ["ada"]), ("r", [])]
