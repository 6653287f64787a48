"""FixedWindow: right inside a window, and twice its limit around a boundary."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.fixed_window_rate_limit import FixedWindow
from rtlab.policies.token_bucket import TokenBucket


def admitted(rule: FixedWindow | TokenBucket, times: list[float]) -> int:
    state, n = rule.start(times[0]), 0
    for now in times:
        state, allowed = rule.take(state, now)
        n += allowed
    return n


@given(st.integers(1, 50), st.lists(st.floats(0, 3), min_size=1, max_size=300).map(sorted))
def test_no_window_admits_more_than_its_limit(limit: int, times: list[float]) -> None:
    rule = FixedWindow(limit)
    state, per_window = rule.start(times[0]), [0] * 4
    for now in times:
        state, allowed = rule.take(state, now)
        per_window[int(now)] += allowed
    assert per_window == [min(limit, sum(int(t) == second for t in times)) for second in range(4)]


def test_around_a_boundary_it_admits_twice_what_a_bucket_does() -> None:
    times = [0.999] * 100 + [1.001] * 100
    assert admitted(FixedWindow(100), times) == 200
    assert admitted(TokenBucket(100, 100), times) == 100


def test_who_waits_as_told_is_let_in() -> None:
    rule = FixedWindow(1, 0.5)
    state, _ = rule.take(rule.start(0.1), 0.1)
    assert rule.wait(state, 0.2) == pytest.approx(0.3)
    assert rule.take(state, 0.2 + rule.wait(state, 0.2))[1]


@pytest.mark.parametrize("values", [(0, 1), (math.inf, 1), (1, 0), (1, math.nan)])
def test_bad_parameters_are_refused(values: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"expected (limit|window) > 0"):
        FixedWindow(*values)


def test_a_cost_that_can_never_be_paid_is_refused() -> None:
    rule = FixedWindow(5)
    with pytest.raises(ValueError, match=r"expected 0 < tokens <= limit = 5"):
        rule.take(rule.start(0), 0, 6)


def test_a_window_that_is_spent_in_place_is_what_take_returns() -> None:
    rule = FixedWindow(3)
    pure, spent = rule.start(0.5), rule.start(0.5)
    for n in range(40):
        pure, allowed = rule.take(pure, 0.5 + n / 8)
        assert rule.spend(spent, 0.5 + n / 8) is allowed
        assert spent == pure


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.2, 0.3, 0.7, 1.1, 1 / 3]))
def test_a_window_that_begins_at_a_rounded_time_is_one_window(number: int, window: float) -> None:
    rule = FixedWindow(2, window)
    for now in (number * window, round(number * window, 6), math.nextafter(number * window, math.inf)):
        assert admitted(rule, [now] * 6) == 2
        state = rule.start(now)
        assert state.at + window > now


def test_six_at_one_instant_are_two() -> None:
    assert admitted(FixedWindow(2, 0.1), [4.3] * 6) == 2  # 4.3 / 0.1 is 42.999…
