"""Who gets the next message: evenness, and which keys move when a member goes."""

from __future__ import annotations

from collections import Counter

import pytest

from rtlab.policies.round_robin_or_least_busy_choice import HashByKey, LeastBusy, PoolMember, RoundRobin

MEMBERS = [PoolMember(name) for name in "abcd"]


def test_round_robin_is_even():
    names = Counter(RoundRobin().choose(MEMBERS, turn, None).name for turn in range(100))
    assert set(names.values()) == {25}


def test_least_busy_takes_turns_among_equals():
    members = [PoolMember("a", 1), PoolMember("b"), PoolMember("c")]
    assert [LeastBusy().choose(members, turn, None).name for turn in range(4)] == ["b", "c", "b", "c"]


def test_a_hash_spreads_keys_and_only_a_lost_members_keys_move():
    keys = [f"user-{n}" for n in range(4000)]
    before = {key: HashByKey().choose(MEMBERS, 0, key).name for key in keys}
    # A share of 1/4 of 4,000 keys: 1,000 ± 27; 5 sigma.
    assert all(abs(count - 1000) < 137 for count in Counter(before.values()).values())
    left = [member for member in MEMBERS if member.name != "b"]
    after = {key: HashByKey().choose(left, 0, key).name for key in keys}
    assert {key for key in keys if before[key] != after[key]} == {k for k in keys if before[k] == "b"}
    # What the lost member had is shared by all others.
    assert len({after[key] for key in keys if before[key] == "b"}) == 3


def test_a_hash_does_not_depend_on_the_order_of_members():
    for n in range(200):
        key = f"k{n}"
        assert HashByKey().choose(MEMBERS, 0, key) == HashByKey().choose(MEMBERS[::-1], 5, key)


@pytest.mark.parametrize("key", [None, 7, b"player-7"])
def test_a_hash_needs_a_key(key):
    with pytest.raises(ValueError, match="key="):
        HashByKey().choose(MEMBERS, 0, key)
