"""CircuitBreaker: the three states, and that a shared one lets only its probes through."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.client.breaker_shared_per_origin import BreakerChange, CircuitBreaker
from rtlab.policies.circuit_breaker import Breaker, BreakerState, Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(policy: Breaker, at: float = 0.0) -> BreakerState:
    state = BreakerState()
    for _ in range(policy.failures or 0):
        state = policy.failure(state, at)
    assert state.circuit is Circuit.OPEN
    return state


# --- closed → open ---


def test_failures_in_a_row_open_it() -> None:
    policy, state = Breaker(failures=3), BreakerState()
    for _ in range(2):
        state = policy.failure(state, 0.0)
        assert state.circuit is Circuit.CLOSED
    assert policy.failure(state, 0.0).circuit is Circuit.OPEN


def test_a_success_between_failures_starts_the_count_again() -> None:
    policy, state = Breaker(failures=3), BreakerState()
    for _ in range(10):
        state = policy.failure(policy.failure(state, 0.0), 0.0)
        state = policy.success(state, 0.0)
    assert state.circuit is Circuit.CLOSED


def test_the_rate_is_judged_on_enough_attempts_only() -> None:
    policy, state = Breaker(failures=None, rate=0.5, min_attempts=4), BreakerState()
    for record in (policy.failure, policy.failure, policy.success):
        state = record(state, 1.0)
        assert state.circuit is Circuit.CLOSED
    assert policy.failure(state, 1.0).circuit is Circuit.OPEN


def test_the_rate_forgets_what_is_older_than_the_window() -> None:
    policy, state = Breaker(failures=None, rate=0.5, window=30, min_attempts=4), BreakerState()
    for _ in range(3):
        state = policy.failure(state, 1.0)
    for _ in range(4):
        state = policy.success(state, 40.0)
    state = policy.failure(state, 40.0)
    assert state.circuit is Circuit.CLOSED
    for _ in range(2):
        state = policy.failure(state, 41.0)
    assert policy.failure(state, 41.0).circuit is Circuit.OPEN


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=200))
def test_a_window_takes_bounded_memory(results: list[tuple[float, bool]]) -> None:
    policy, state = Breaker(failures=None, rate=1.0, min_attempts=10_000), BreakerState()
    now = 0.0
    for gap, good in results:
        now += gap
        state = policy.success(state, now) if good else policy.failure(state, now)
        assert len(state.slices) <= 11


# --- open → half-open → … ---


def test_an_open_one_lets_nothing_through_before_its_time() -> None:
    policy = Breaker(failures=2, open_duration=10)
    state = opened(policy, at=100.0)
    assert policy.retry_at(state, 101.0) == 110.0
    assert policy.allow(state, 109.9) == (state, False)
    assert policy.allow(state, 110.0)[1]


def test_only_the_probes_pass_and_all_must_succeed() -> None:
    policy = Breaker(failures=1, open_duration=10, probes=2)
    state = opened(policy)
    answers = []
    for _ in range(5):
        state, allowed = policy.allow(state, 10.0)
        answers.append(allowed)
    assert answers == [True, True, False, False, False]
    state = policy.success(state, 11.0)
    assert state.circuit is Circuit.HALF_OPEN
    assert not policy.allow(state, 11.0)[1]
    assert policy.success(state, 12.0) == BreakerState()


def test_a_failed_probe_opens_it_again_for_a_full_duration() -> None:
    policy = Breaker(failures=1, open_duration=10)
    state, _ = policy.allow(opened(policy), 10.0)
    state = policy.failure(state, 13.0)
    assert (state.circuit, policy.retry_at(state, 13.0)) == (Circuit.OPEN, 23.0)


def test_a_probe_that_never_reports_does_not_block_for_ever() -> None:
    policy = Breaker(failures=1, open_duration=10)
    state, _ = policy.allow(opened(policy), 10.0)
    assert policy.retry_at(state, 12.0) == 20.0
    assert not policy.allow(state, 19.9)[1]
    assert policy.allow(state, 20.0)[1]


def test_results_of_attempts_from_before_it_opened_change_nothing() -> None:
    policy = Breaker(failures=1)
    state = opened(policy)
    assert policy.success(state, 1.0) is state
    assert policy.failure(state, 1.0) is state


steps = st.lists(st.tuples(st.floats(0, 8), st.sampled_from(["allow", "success", "failure"])), max_size=120)


@given(steps, st.integers(1, 4), st.integers(1, 3))
def test_invariants_hold_in_any_order_of_events(
    events: list[tuple[float, str]], failures: int, probes: int
) -> None:
    policy, state, now = Breaker(failures=failures, open_duration=10, probes=probes), BreakerState(), 0.0
    for gap, name in events:
        now += gap
        before, due = state, policy.retry_at(state, now)
        if name == "allow":
            state, allowed = policy.allow(state, now)
            assert allowed == (due <= now)
            assert state.circuit is not Circuit.CLOSED or allowed
        else:
            state = getattr(policy, name)(state, now)
        assert len(state.probes) + state.succeeded <= probes
        assert (before.circuit, state.circuit) != (Circuit.OPEN, Circuit.CLOSED)
        assert (before.circuit, state.circuit) != (Circuit.CLOSED, Circuit.HALF_OPEN)
        assert due >= now


# --- the holder, shared ---


def test_connections_to_one_origin_share_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker(Breaker(failures=4, open_duration=10), clock=clock)
    told: list[Any] = []
    for name in ("open", "half-open", "closed"):
        breaker.on(name, told.append)
    for _ in range(4):  # four connections, one failure each
        assert breaker.allow()
        breaker.record_failure()
    assert (breaker.state, breaker.retry_at, breaker.allow()) == (Circuit.OPEN, 10.0, False)
    clock.now = 10.0
    assert [breaker.allow() for _ in range(4)] == [True, False, False, False]
    breaker.record_success()
    assert breaker.state is Circuit.CLOSED
    assert told == [
        BreakerChange(at=0.0, before=Circuit.CLOSED, after=Circuit.OPEN),
        BreakerChange(at=10.0, before=Circuit.OPEN, after=Circuit.HALF_OPEN),
        BreakerChange(at=10.0, before=Circuit.HALF_OPEN, after=Circuit.CLOSED),
    ]


def test_it_says_how_long_it_stays_open() -> None:
    clock = Clock()
    breaker = CircuitBreaker(Breaker(failures=1, open_duration=10), clock=clock)
    assert breaker.wait == 0
    breaker.record_failure()
    clock.now = 4.0
    assert breaker.wait == 6.0
    clock.now = 10.0
    assert breaker.allow()
    assert (breaker.state, breaker.wait) == (Circuit.HALF_OPEN, 0)  # the probe may succeed at any moment


def test_a_handler_that_raises_becomes_an_error_event() -> None:
    breaker = CircuitBreaker(Breaker(failures=1), clock=Clock())
    errors: list[Any] = []
    seen: list[Any] = []

    def broken(change: BreakerChange) -> None:
        raise KeyError("oops")

    breaker.on("open", broken)
    breaker.on("open", seen.append)
    breaker.on("error", errors.append)
    breaker.record_failure()
    assert [type(e.error) for e in errors] == [KeyError]
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("listened", "logged"),
    [
        ((), "a breaker's handler raised KeyError('BreakerChange')"),
        (("error",), "an error handler raised KeyError('ErrorEvent')"),
    ],
)
def test_an_error_that_reaches_no_handler_is_logged(
    listened: tuple[str, ...], logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = CircuitBreaker(Breaker(failures=1), clock=Clock())

    def broken(event: object) -> None:
        raise KeyError(type(event).__name__)

    for name in ("open", *listened):
        breaker.on(name, broken)
    breaker.record_failure()
    assert [record.getMessage() for record in caplog.records] == [logged]


def test_off_stops_the_announcements() -> None:
    breaker, seen = CircuitBreaker(Breaker(failures=1), clock=Clock()), []
    breaker.on("open", seen.append)
    breaker.off("open", seen.append)
    breaker.record_failure()
    assert seen == []


def test_its_repr_has_no_times() -> None:
    breaker = CircuitBreaker(Breaker(failures=1), clock=Clock())
    assert repr(breaker).startswith("CircuitBreaker(closed, Breaker(failures=1, ")


@pytest.mark.parametrize(
    "bad",
    [
        {"failures": 0},
        {"failures": None},
        {"rate": 0.0},
        {"rate": 1.5},
        {"rate": math.nan},
        {"window": 0.0},
        {"min_attempts": 0},
        {"open_duration": -1.0},
        {"open_duration": math.inf},
        {"probes": 0},
    ],
)
def test_a_bad_parameter_says_what_was_expected(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"expected .*{next(iter(bad))}.*, got "):
        Breaker(**bad)
