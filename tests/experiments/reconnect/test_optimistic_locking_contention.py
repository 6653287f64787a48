"""Brooker's experiment: the article's orderings come out, and its price is shown."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.experiments.reconnect.optimistic_locking_contention import (
    POLICIES,
    Contention,
    contend,
    jitter_contention,
)
from rtlab.policies.backoff import Constant

# Means of 20 runs, seed 1; seeds 2 to 7 give the same orderings.
COUNTS = (30, 100, 190)


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, int], Contention]:
    return {(row.policy, row.clients): row for row in jitter_contention(COUNTS, runs=20)}


@pytest.mark.parametrize("n", COUNTS)
def test_unjittered_exponential_is_by_far_the_slowest(
    rows: dict[tuple[str, int], Contention], n: int
) -> None:
    others = [rows[name, n].seconds for name in POLICIES if name != "exponential"]
    assert rows["exponential", n].seconds > 5 * max(others)


@pytest.mark.parametrize("n", COUNTS)
def test_equal_jitter_is_the_slowest_of_the_jittered(rows: dict[tuple[str, int], Contention], n: int) -> None:
    assert rows["equal jitter", n].seconds > rows["full jitter", n].seconds
    assert rows["equal jitter", n].seconds > rows["decorrelated", n].seconds


@pytest.mark.parametrize("n", [100, 190])
def test_full_and_decorrelated_finish_close_together(rows: dict[tuple[str, int], Contention], n: int) -> None:
    assert 0.8 < rows["full jitter", n].seconds / rows["decorrelated", n].seconds < 1.25


def test_full_jitter_cuts_the_calls_by_more_than_half(rows: dict[tuple[str, int], Contention]) -> None:
    """So the article says, of full jitter at N = 100."""
    plain = rows["exponential", 100].calls
    assert rows["full jitter", 100].calls < plain / 2
    assert rows["equal jitter", 100].calls < plain / 2
    assert plain / 2 < rows["decorrelated", 100].calls < plain * 0.6


def test_means_are_those_of_the_articles_own_simulator(rows: dict[tuple[str, int], Contention]) -> None:
    """Its rules, run 40 times at N = 100: seconds until all are done, and calls."""
    published = {
        "no backoff": (2.02, 2420),
        "exponential": (63.1, 1852),
        "equal jitter": (6.51, 811),
        "full jitter": (4.99, 795),
        "decorrelated": (4.49, 993),
    }
    for name, (seconds, calls) in published.items():
        assert rows[name, 100].seconds == pytest.approx(seconds, rel=0.1)
        assert rows[name, 100].calls == pytest.approx(calls, rel=0.04)


@pytest.mark.parametrize("n", COUNTS)
def test_no_backoff_is_the_fastest_and_pays_in_calls(rows: dict[tuple[str, int], Contention], n: int) -> None:
    none = rows["no backoff", n]
    assert all(none.seconds < rows[name, n].seconds for name in POLICIES if name != "no backoff")
    assert all(none.calls > rows[name, n].calls for name in POLICIES if name != "no backoff")


def test_a_lone_client_needs_one_write_and_four_hops() -> None:
    outcomes = [contend(Constant(0.0), 1, np.random.default_rng(seed)) for seed in range(200)]
    assert {calls for _, calls in outcomes} == {1}
    assert np.mean([seconds for seconds, _ in outcomes]) == pytest.approx(0.040, rel=0.02)


def test_the_same_seed_gives_the_same_rows() -> None:
    assert jitter_contention([10], runs=2, seed=5) == jitter_contention([10], runs=2, seed=5)
    assert jitter_contention([10], runs=2, seed=5) != jitter_contention([10], runs=2, seed=6)
