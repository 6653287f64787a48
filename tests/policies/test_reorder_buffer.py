"""Order comes back, every item comes out once or is counted, and nothing waits for ever."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.reorder_buffer import ReorderBuffer


@given(st.permutations(range(20)))
def test_any_order_comes_out_in_order(order):
    buffer: ReorderBuffer[int] = ReorderBuffer(max_items=20)
    out = [item for number in order for item in buffer.add(number, number, 0.0).items]
    assert out == list(range(20))
    assert len(buffer) == 0


@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 0.6)), max_size=60),
    st.integers(1, 6),
)
def test_nothing_is_lost_in_silence(steps, limit):
    buffer: ReorderBuffer[int] = ReorderBuffer(max_items=limit, max_wait=1.0)
    now, out, skipped = 0.0, [], set()
    for number, gap in steps:
        now += gap
        for released in (buffer.tick(now), buffer.add(number, number, now)):
            out += released.items
            skipped |= {n for first, last in released.skipped for n in range(first, last + 1)}
        assert len(buffer) <= limit
        assert buffer.due > now
    released = buffer.tick(math.inf)
    out += released.items
    skipped |= {n for first, last in released.skipped for n in range(first, last + 1)}
    assert out == sorted(set(out))
    assert not set(out) & skipped
    assert set(out) | skipped == set(range(max(out, default=-1) + 1))
    assert len(out) + buffer.late == len(steps)


def test_a_number_that_never_comes_is_given_up_after_the_wait():
    buffer: ReorderBuffer[str] = ReorderBuffer(max_wait=0.5)
    buffer.add(1, "b", 10.0)
    assert buffer.due == 10.5
    assert buffer.tick(10.4).items == ()
    released = buffer.tick(10.5)
    assert (released.items, released.skipped) == (("b",), ((0, 0),))
    assert buffer.due == math.inf
    assert buffer.add(0, "a", 11.0).items == ()
    assert buffer.late == 1


def test_who_only_adds_has_what_waited_too_long_with_the_next():
    buffer: ReorderBuffer[str] = ReorderBuffer(max_wait=0.5)
    buffer.add(1, "b", 10.0)
    assert buffer.add(3, "d", 10.4).items == ()
    released = buffer.add(4, "e", 10.5)
    assert (released.items, released.skipped) == (("b",), ((0, 0),))
    released = buffer.add(0, "a", 10.9)  # too late itself, and the time of the others
    assert (released.items, released.skipped) == (("d", "e"), ((2, 2),))
    assert buffer.late == 1


def test_the_missing_one_in_the_last_moment_is_in_order():
    buffer: ReorderBuffer[str] = ReorderBuffer(max_wait=0.5)
    buffer.add(1, "b", 10.0)
    released = buffer.add(0, "a", 12.0)
    assert (released.items, released.skipped) == (("a", "b"), ())


@pytest.mark.parametrize(
    "options",
    [
        *({"max_items": value} for value in (0, math.nan, math.inf, 2.5, True)),
        *({"max_wait": value} for value in (-1, math.nan, math.inf)),
        {"first": math.nan},
    ],
)
def test_limits_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"expected {next(iter(options))}|<= {next(iter(options))}"):
        ReorderBuffer(**options)
