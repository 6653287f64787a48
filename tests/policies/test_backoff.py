"""Backoff: bounds, statistics, and that one object serves a connection and a herd alike."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.policies.backoff import (
    DEFAULT,
    PRESETS,
    CapAfterJitter,
    Centrifuge,
    Constant,
    Decorrelated,
    EqualJitter,
    Exponential,
    FirstJittered,
    FullJitter,
    Linear,
    PythonSocketIO,
    Table,
)

names = st.sampled_from(sorted(PRESETS))
attempts = st.integers(0, 10_000)
seeds = st.integers(0, 2**32 - 1)
bases = st.floats(1e-3, 10)
spans = st.floats(1, 1e4)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def draws(policy: Any, attempt: int, n: int = 100_000, previous: float = 0.0) -> np.ndarray:
    return policy.delay(np.full(n, attempt), np.full(n, previous), rng())


def test_the_presets_are_those_of_the_table() -> None:
    textbook = {"constant", "linear", "exponential", "full_jitter", "equal_jitter", "decorrelated"}
    clients = {
        "centrifuge",
        "socketio",
        "python_socketio",
        "phoenix",
        "signalr",
        "websockets",
        "partysocket",
        "eventsource_chrome",
        "eventsource_firefox",
    }
    assert set(PRESETS) == textbook | clients
    assert all(getattr(policy, "source", "") for policy in PRESETS.values())


def test_the_default_is_full_jitter_that_waits_for_a_stable_connection() -> None:
    assert isinstance(DEFAULT, FullJitter)
    assert (DEFAULT.base, DEFAULT.cap, DEFAULT.min_uptime, DEFAULT.max_attempts) == (0.5, 30.0, 5.0, None)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_policy_cannot_be_changed(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS[name].min_uptime = 1.0  # type: ignore[misc]


# --- one object, one connection or a herd ---


@given(names, st.lists(st.tuples(attempts, st.floats(0, 1e6)), min_size=1, max_size=30), seeds)
def test_scalars_and_arrays_agree_draw_for_draw(name: str, calls: list[tuple[int, float]], seed: int) -> None:
    policy = PRESETS[name]
    one, herd = rng(seed), rng(seed)
    scalars = [policy.delay(n, previous, one) for n, previous in calls]
    array = policy.delay(np.array([n for n, _ in calls]), np.array([p for _, p in calls]), herd)
    assert all(type(s) is float for s in scalars)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, scalars)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_an_empty_herd_gets_no_delays(name: str) -> None:
    assert PRESETS[name].delay(np.empty(0, int), np.empty(0), rng()).shape == (0,)


@given(names, attempts, st.floats(0, 1e9) | st.just(math.inf), seeds)
def test_a_delay_is_never_negative_and_never_nan(name: str, n: int, previous: float, seed: int) -> None:
    policy = PRESETS[name]
    delay = policy.delay(n, previous, rng(seed))
    assert delay >= 0
    gave_up = policy.max_attempts is not None and n >= policy.max_attempts
    assert math.isinf(delay) == gave_up


# --- bounds of each strategy, for any parameters ---


@given(bases, spans, st.floats(1.01, 10), attempts)
def test_exponential_is_the_formula(base: float, span: float, factor: float, n: int) -> None:
    cap = base * span
    expected = cap if n * math.log(factor) > math.log(span) + 1 else min(cap, base * factor**n)
    assert Exponential(base, cap, factor).delay(n, 0.0, rng()) == pytest.approx(expected)


@given(bases, spans, attempts, seeds)
def test_jitter_stays_under_the_exponential(base: float, span: float, n: int, seed: int) -> None:
    cap = base * span
    ceiling = Exponential(base, cap).delay(n, 0.0, rng())
    assert 0 <= FullJitter(base, cap).delay(n, 0.0, rng(seed)) <= ceiling
    assert ceiling / 2 <= EqualJitter(base, cap).delay(n, 0.0, rng(seed)) <= ceiling
    assert base <= Centrifuge(base, cap).delay(n, 0.0, rng(seed)) <= cap


@given(bases, spans, st.floats(0, 1e6), seeds)
def test_decorrelated_is_between_base_and_three_times_the_last(
    base: float, span: float, previous: float, seed: int
) -> None:
    cap = base * span
    delay = Decorrelated(base, cap).delay(1, previous, rng(seed))
    assert base <= delay <= min(cap, 3 * max(previous, base)) * (1 + 1e-12)


@given(st.floats(0.5, 1), attempts, seeds)
def test_cap_after_jitter_never_exceeds_the_cap(jitter: float, n: int, seed: int) -> None:
    policy = CapAfterJitter(1.0, 5.0, jitter)
    assert 0 <= policy.delay(n, 0.0, rng(seed)) <= 5.0


@given(attempts, seeds)
def test_python_socketio_deviates_by_half_a_second_at_every_attempt(n: int, seed: int) -> None:
    assert abs(PRESETS["python_socketio"].delay(n, 0.0, rng(seed)) - min(2.0 ** min(n, 3), 5.0)) <= 0.5


# --- tables ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1]),
        ("linear", [1, 2, 3, 4, 5, math.inf]),
        ("exponential", [0.5, 1, 2, 4, 8, 16, 30, 30]),
        ("phoenix", [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2, 5, 5]),
        ("signalr", [0, 2, 10, 30, math.inf, math.inf]),
        ("partysocket", [3, 3.9, 5.07, 6.591, 8.5683, 10, 10]),
        ("eventsource_chrome", [3, 3]),
        ("eventsource_firefox", [5, 5]),
    ],
)
def test_the_policies_without_jitter_are_a_list(name: str, expected: list[float]) -> None:
    n = np.arange(len(expected))
    np.testing.assert_allclose(PRESETS[name].delay(n, np.zeros(len(n)), rng()), expected)


def test_the_websockets_preset_is_the_generator_of_the_package() -> None:
    from websockets.client import backoff

    theirs = backoff(initial_delay=5.0, min_delay=3.1, max_delay=90.0, factor=1.618)
    ours = PRESETS["websockets"]
    assert 0 <= next(theirs) <= 5
    first = draws(ours, 0)
    assert (first.min() < 0.05, first.max() > 4.95, first.max() <= 5) == (True, True, True)
    for n in range(1, 20):
        assert ours.delay(n, 0.0, rng()) == pytest.approx(next(theirs))


# --- statistics: 100,000 draws, seed 1; bounds of five standard errors ---


def within_five_sigma(hits: np.ndarray, p: float) -> bool:
    return abs(hits.mean() - p) <= 5 * math.sqrt(p * (1 - p) / len(hits))


def test_the_jitter_of_socketio_vanishes_at_the_cap() -> None:
    policy = PRESETS["socketio"]
    assert not np.any(draws(policy, 1) == 5.0)
    assert within_five_sigma(draws(policy, 2) == 5.0, 0.3)
    assert within_five_sigma(draws(policy, 3) == 5.0, 0.9)
    assert np.all(draws(policy, 4) == 5.0)
    assert np.all(draws(policy, 10_000) == 5.0)
    # The control: full jitter under the same cap keeps all clients apart.
    assert not np.any(draws(FullJitter(1.0, 5.0), 4) == 5.0)


@pytest.mark.parametrize(("base", "cap", "atom"), [(1.0, 30.0, 0.38), (0.005, 2.0, 0.27)])
def test_decorrelated_jitter_has_an_atom_at_the_cap(base: float, cap: float, atom: float) -> None:
    policy, generator = Decorrelated(base, cap), rng()
    delay = np.zeros(100_000)
    for n in range(60):  # long enough to forget the start
        delay = policy.delay(np.full(len(delay), n), delay, generator)
    assert np.mean(delay == cap) == pytest.approx(atom, abs=0.01)


@pytest.mark.parametrize(
    ("policy", "mean", "deviation"),
    [
        (FullJitter(0.5, 30.0), 15.0, 30 / math.sqrt(12)),
        (EqualJitter(0.5, 30.0), 22.5, 15 / math.sqrt(12)),
        (PRESETS["python_socketio"], 5.0, 1 / math.sqrt(12)),
    ],
)
def test_means_at_the_cap(policy: Any, mean: float, deviation: float) -> None:
    sample = draws(policy, 50)
    assert abs(sample.mean() - mean) <= 5 * deviation / math.sqrt(len(sample))


# --- bad parameters ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1),
        lambda: Constant(math.nan),
        lambda: Linear(math.inf),
        lambda: Exponential(0, 1),
        lambda: Exponential(2, 1),
        lambda: Exponential(1, math.inf),
        lambda: Exponential(1, 2, factor=1),
        lambda: FullJitter(-1, 1),
        lambda: Decorrelated(3, 1),
        lambda: Centrifuge(0, 1),
        lambda: CapAfterJitter(1, 5, 1.5),
        lambda: PythonSocketIO(1, 5, 2),
        lambda: FirstJittered(3, 90, 1.6, -1),
        lambda: Table(()),
        lambda: Table((1.0, -1.0)),
        lambda: Constant(1, max_attempts=-1),
        lambda: Constant(1, min_uptime=math.inf),
    ],
)
def test_a_bad_parameter_says_what_was_expected(make: Any) -> None:
    with pytest.raises(ValueError, match=r"expected .*, got "):
        make()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("policy", "n"),
    [
        (Exponential(0.5, 30.0, factor=1e200), 3),
        (Exponential(1e-10, 1e308), 2000),
        (FullJitter(1.0, 1e308), 1030),
        (CapAfterJitter(1.0, 1e308), 5000),
    ],
)
def test_a_power_that_overflows_gives_the_cap_to_one_as_to_a_herd(policy: Any, n: int) -> None:
    one, herd = policy.delay(n, 0.0, rng()), policy.delay(np.array([n]), np.zeros(1), rng())
    assert [one] == herd.tolist()
    assert one == policy.cap * (rng().random() if isinstance(policy, FullJitter) else 1)
