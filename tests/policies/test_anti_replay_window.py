from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.anti_replay_window import WINDOW, ReplayWindow


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=200))
def test_each_number_is_taken_once_and_only_old_ones_are_refused_unseen(numbers: list[int]) -> None:
    window, taken, newest = ReplayWindow(), set(), -1
    for number in numbers:
        window, fresh = window.take(number)
        assert fresh == (number not in taken and number > newest - WINDOW)
        if fresh:
            taken.add(number)
            newest = max(newest, number)


def test_a_number_below_zero_is_none() -> None:
    assert ReplayWindow().take(-1) == (ReplayWindow(), False)


def test_a_number_that_is_very_far_behind_costs_no_memory() -> None:
    window, _ = ReplayWindow().take(1 << 60)
    assert window.take(0) == (window, False)
    assert window.take((1 << 60) - WINDOW) == (window, False)
    assert window.take((1 << 60) - WINDOW + 1)[1]
