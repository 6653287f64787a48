"""The window by hand, and against a channel that loses both ways: each message is handled once, in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.go_back_n_window import GoBackN


def test_no_more_than_the_window_is_on_its_way():
    window = GoBackN(window=4)
    window.sent(4)
    assert window.room == 0
    window.settle(1)
    assert (window.room, window.base, window.next) == (1, 2, 5)


def test_an_answer_that_comes_late_moves_the_window_all_the_same():
    window = GoBackN(window=4)
    window.sent(4)
    window.back()
    for number in (1, 2, 3):
        window.settle(number)
    assert (window.base, window.next) == (4, 4)
    window.settle(1)
    assert window.base == 4


def test_a_window_of_nothing_is_refused():
    with pytest.raises(ValueError, match="window >= 1"):
        GoBackN(window=0)


@given(
    count=st.integers(1, 30),
    window=st.integers(1, 8),
    lost=st.lists(st.sampled_from(["no", "message", "answer"]), max_size=60),
)
def test_over_a_channel_that_loses_each_is_handled_once_and_in_order(count, window, lost):
    sender, expected, handled, fates = GoBackN(window), 1, [], iter(lost)
    rounds = 0
    while sender.base <= count:
        rounds += 1
        assert rounds < 200, "no progress"
        first = sender.next
        for number in range(first, min(first + sender.room, count + 1)):
            sender.sent()
            assert number < sender.base + window
            fate = next(fates, "no")
            if fate == "message" or number > expected:
                continue  # never came, or a gap: refused, and the answer says so
            if number == expected:
                handled.append(number)
                expected += 1
            if fate != "answer":
                sender.settle(number)
        sender.back()
    assert handled == list(range(1, count + 1))
