from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.drop_or_conflate_on_overflow import (
    POLICY_NAMES,
    MessagePlace,
    Overflow,
    OverflowQueue,
    Skipped,
    SlowReader,
    parse_overflow,
)

POLICIES = {name: Overflow(name, "k" if name == "conflate" else "") for name in POLICY_NAMES}


def test_a_policy_is_written_and_read() -> None:
    for policy in POLICIES.values():
        assert parse_overflow(str(policy)) == policy


@pytest.mark.parametrize(
    "text", ["", "drop", "conflate", "conflate:", "block:x", "Disconnect", "conflate:" + "x" * 200]
)
def test_what_is_no_policy_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="expected block, drop_oldest"):
        parse_overflow(text)


def test_a_bound_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        OverflowQueue[int](0, 1)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "away", "direct", "state", "take"]),
            st.integers(1, 60),
            st.integers(0, 2),
        ),
        max_size=120,
    ),
    policies=st.tuples(st.sampled_from(POLICY_NAMES), st.sampled_from(POLICY_NAMES)),
    messages=st.integers(1, 6),
)
def test_each_message_of_a_room_comes_out_or_is_announced_in_order_and_once(
    steps: list[tuple[str, int, int]], policies: tuple[str, str], messages: int
) -> None:
    """Over any course: each room's offers are covered, all else is kept in order, and so are the bounds."""
    queue = OverflowQueue[tuple[str, int]](messages, 100)
    policy = dict(zip("ab", policies, strict=True))
    put = {"a": 0, "b": 0, "direct": 0, "state": 0}
    offers: dict[str, list[int]] = {"a": [], "b": []}
    covered: dict[str, list[int]] = {"a": [], "b": []}
    direct: list[int] = []
    states: list[int] = []
    drops = announced = 0

    def take() -> bool:
        nonlocal announced
        out = queue.take()
        if out is None:
            return False
        if isinstance(out, Skipped):
            covered[out.room_id] += range(out.first, out.last + 1)
            announced += out.last - out.first + 1
            assert out.policy == policy[out.room_id]
        elif out[0] in covered:
            covered[out[0]].append(out[1])
        else:
            (direct if out[0] == "direct" else states).append(out[1])
        return True

    for kind, size, key in steps:
        if kind == "take":
            take()
            continue
        if kind == "away":
            put["a"] += key  # the consumer had left the room, and came back
            continue
        put[kind] += 1
        item = (kind, put[kind])
        if kind == "direct":
            queue.add(item, size)
        elif kind == "state":
            queue.replace(item, size, "users")
        else:
            before = (len(queue), queue.size_bytes)
            offers[kind].append(put[kind])
            result = queue.offer(item, size, MessagePlace(kind, "e", put[kind]), POLICIES[policy[kind]], key)
            if policy[kind] in ("block", "disconnect"):
                assert result in ("queued", "over")
            else:
                drops += result if isinstance(result, int) else 0
                # It never makes what is over a bound worse.
                assert len(queue) <= max(messages, before[0])
                assert queue.size_bytes <= max(100, before[1], size)
    while take():
        pass
    assert covered == offers
    assert direct == list(range(1, put["direct"] + 1))
    assert states == sorted(states)
    assert (states[-1:] or [0]) == [put["state"]]
    assert announced == drops
    assert queue.size_bytes == len(queue) == 0


def offered(name: str, keys: list[int]) -> list[int | Skipped]:
    queue = OverflowQueue[int](3, 10_000)
    for offset, key in enumerate(keys, 1):
        queue.offer(offset, 1, MessagePlace("r", "e", offset), POLICIES[name], key)
    out: list[int | Skipped] = []
    while (item := queue.take()) is not None:
        out.append(item)
    return out


def test_each_policy_forgets_what_its_name_says() -> None:
    skipped = {name: Skipped("r", "e", 1, 2, name) for name in POLICY_NAMES}
    assert offered("drop_oldest", [0] * 5) == [skipped["drop_oldest"], 3, 4, 5]
    assert offered("drop_newest", [0] * 5) == [1, 2, 3, Skipped("r", "e", 4, 5, "drop_newest")]
    # Of those about the same, the newest: the third makes the first worthless, and so on.
    assert offered("conflate", [7, 8, 7, 8]) == [skipped["conflate"], 3, 4]
    assert offered("block", [0] * 5) == offered("disconnect", [0] * 5) == [1, 2, 3, 4, 5]


def test_what_was_never_offered_is_not_said_to_be_dropped() -> None:
    queue = OverflowQueue[int](3, 10_000)
    for offset in (1, 2, 3, 4, 9, 10):  # the consumer left behind the fourth, and entered again
        queue.offer(offset, 1, MessagePlace("r", "e", offset), POLICIES["drop_oldest"])
    out = [queue.take() for _ in range(6)]
    assert out == [Skipped("r", "e", 1, 3, "drop_oldest"), 4, 9, 10, None, None]
    for offset in (20, 21):
        queue.offer(offset, 10_000, MessagePlace("r", "e", offset), POLICIES["drop_newest"])
    queue.offer(30, 10_000, MessagePlace("r", "e", 30), POLICIES["drop_newest"])
    assert [queue.take() for _ in range(4)] == [
        20,
        Skipped("r", "e", 21, 21, "drop_newest"),
        Skipped("r", "e", 30, 30, "drop_newest"),
        None,
    ]


def test_a_message_over_the_bound_passes_when_nothing_waits() -> None:
    queue = OverflowQueue[str](3, 100)
    assert queue.offer("big", 1000, MessagePlace("r", "e", 1), POLICIES["drop_oldest"]) == "queued"
    assert queue.offer("small", 1, MessagePlace("r", "e", 2), POLICIES["drop_newest"]) == 1
    assert queue.take() == "big"
    assert queue.take() == Skipped("r", "e", 2, 2, "drop_newest")


def test_who_takes_some_is_not_slow_and_who_takes_nothing_is_after_a_while() -> None:
    now = [0.0]
    reader = SlowReader(2.0, 4.0, lambda: now[0])
    left = 1.0
    for _ in range(10):
        assert not reader.too_slow(left, left + 0.1)
        now[0] += 1.9
        left += 0.1 - 0.01  # some of it was taken
    assert not reader.too_slow(left + 0.01, left + 0.02)
    now[0] += 2.1
    assert reader.too_slow(left + 0.02, left + 0.03)


def test_memory_is_bounded_however_fast_it_reads() -> None:
    reader = SlowReader(2.0, 4.0, lambda: 0.0)
    assert not reader.too_slow(3.9, 4.0)
    assert reader.too_slow(3.9, 4.1)
