"""TokenBucket: never more than b + r·t in any window, and a wait that keeps its word."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtlab.policies.token_bucket import TokenBucket

rates = st.floats(0.1, 1000)
bursts = st.floats(1, 100)
gaps = st.lists(st.floats(0, 2), min_size=1, max_size=60)


@given(rates, bursts, gaps)
def test_any_window_admits_at_most_burst_plus_rate_times_its_length(
    rate: float, burst: float, gaps: list[float]
) -> None:
    limit, now, admitted = TokenBucket(rate, burst), 0.0, []
    bucket = limit.start(now)
    for gap in gaps:
        now += gap
        bucket, allowed = limit.take(bucket, now)
        if allowed:
            admitted.append(now)
    for i, j in combinations(range(len(admitted)), 2):
        assert j - i + 1 <= burst + rate * (admitted[j] - admitted[i]) + 1e-5


@given(st.floats(0.1, 100), bursts, gaps, st.floats(0, 1e7))
@example(1.0, 1.9999999, [0.0, 0.0], 0.0)  # less is missing than `take` forgives
def test_who_waits_as_told_is_let_in(rate: float, burst: float, gaps: list[float], start: float) -> None:
    limit, now = TokenBucket(rate, burst), start
    bucket = limit.start(now)
    for gap in gaps:
        now += gap
        pause = limit.wait(bucket, now)
        if pause > 0:
            assert not limit.take(bucket, now + pause * 0.9 - 1e-5 / rate)[1]
        now += pause
        bucket, allowed = limit.take(bucket, now)
        assert allowed


def test_a_burst_at_peak_rate_lasts_as_long_as_the_formula_says() -> None:
    rate, burst, peak = 10.0, 50.0, 60.0
    limit = TokenBucket(rate, burst)
    bucket, n = limit.start(0.0), 0
    while True:
        bucket, allowed = limit.take(bucket, n / peak)
        if not allowed:
            break
        n += 1
    assert n / peak == pytest.approx(burst / (peak - rate), abs=2 / peak)


def test_a_fixed_window_would_have_admitted_twice_as_many() -> None:
    limit, times = TokenBucket(rate=100, burst=100), [0.95] * 100 + [1.05] * 100
    bucket, admitted = limit.start(0.0), 0
    for now in times:
        bucket, allowed = limit.take(bucket, now)
        admitted += allowed
    fixed = sum(min(100, sum(1 for t in times if int(t) == second)) for second in (0, 1))
    assert (admitted, fixed) == (110, 200)


def test_a_clock_that_steps_back_adds_nothing() -> None:
    limit = TokenBucket(rate=1, burst=1)
    bucket, _ = limit.take(limit.start(10.0), 10.0)
    assert limit.take(bucket, 5.0) == (bucket, False)
    assert limit.take(bucket, 11.0)[1]


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (math.inf, 1), (math.nan, 1), (1, 0), (1, -2)])
def test_bad_parameters_are_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match=r"expected (rate|burst) > 0"):
        TokenBucket(rate, burst)


@pytest.mark.parametrize("tokens", [0, -1, 6, math.nan])
def test_a_cost_that_can_never_be_paid_is_refused(tokens: float) -> None:
    limit = TokenBucket(rate=1, burst=5)
    with pytest.raises(ValueError, match=r"expected 0 < tokens <= burst = 5"):
        limit.take(limit.start(0.0), 0.0, tokens)


@given(rates, bursts, gaps, st.lists(st.floats(0.1, 1.0), min_size=60, max_size=60))
def test_a_bucket_that_is_spent_in_place_is_what_take_returns(
    rate: float, burst: float, gaps: list[float], costs: list[float]
) -> None:
    limit, now = TokenBucket(rate, burst), 5.0
    pure, spent = limit.start(now), limit.start(now)
    for gap, cost in zip(gaps, costs, strict=False):
        now += gap - 0.1  # a clock that goes back adds nothing
        before = (pure.tokens, pure.at)
        after, allowed = limit.take(pure, now, cost)
        assert (pure.tokens, pure.at) == before
        pure = after
        assert limit.spend(spent, now, cost) is allowed
        assert spent == pure


@given(st.floats(1, 1e9), st.floats(1, 1e10), st.floats(1, 100))
@example(1e6, 1e6, 1.0)
def test_who_waits_as_told_is_let_in_even_if_the_clock_steps_over_many_tokens(
    rate: float, now: float, burst: float
) -> None:
    limit = TokenBucket(rate, burst)
    bucket = limit.start(now)
    for _ in range(20):
        now += limit.wait(bucket, now)
        bucket, allowed = limit.take(bucket, now)
        assert allowed
