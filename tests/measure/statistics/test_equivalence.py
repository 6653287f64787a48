from __future__ import annotations

import numpy as np
import pytest

from rtlab.measure.statistics.equivalence import equivalence


def runs(difference: float, n: int, seed: int, noise: float = 0.1) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    common = rng.exponential(1.0, n)  # the machine's mood hits both
    return (
        (1 + common + difference + rng.normal(0, noise, n)).tolist(),
        (1 + common + rng.normal(0, noise, n)).tolist(),
    )


def test_the_same_is_the_same_and_the_control_is_not():
    same = equivalence(*runs(0.0, 10, 1), 0.5, names=("sse", "websocket"))
    assert same.equivalent
    assert not same.different
    assert same.verdict == "sse and websocket are equivalent: less than 0.5 ms apart"
    late = equivalence(*runs(5.0, 10, 1), 0.5)
    assert late.different
    assert not late.equivalent
    assert late.verdict == "a is later than b, by more than 0.5 ms"
    assert equivalence(*runs(-5.0, 10, 1), 0.5).verdict == "b is later than a, by more than 0.5 ms"


def test_too_much_noise_decides_nothing():
    unclear = equivalence(*runs(0.0, 8, 3, noise=5.0), 0.5)
    assert not unclear.equivalent
    assert not unclear.different
    assert "undecided" in repr(unclear)


def test_one_spoiled_run_moves_nothing_far():
    a, b = runs(0.0, 10, 5)
    a[4] += 1000.0
    assert equivalence(a, b, 0.5).equivalent


@pytest.mark.parametrize("n", [6, 10, 20])
@pytest.mark.parametrize("confidence", [0.90, 0.95])
def test_the_interval_agrees_with_the_signed_rank_test(n: int, confidence: float):
    """The interval excludes 0 exactly when scipy's exact test rejects it."""
    from scipy import stats  # here, because its import takes a second in every worker

    rng = np.random.default_rng(n)
    for shift in np.linspace(-1.5, 1.5, 60):
        a, b = rng.normal(shift, 1, n), rng.normal(0, 1, n)
        found = equivalence(a.tolist(), b.tolist(), 1.0, confidence=confidence)
        p = float(stats.wilcoxon(a - b, method="exact").pvalue)
        assert (found.low_ms > 0 or found.high_ms < 0) == (p <= 1 - confidence)


def test_at_the_margin_equivalence_is_seldom_claimed():
    """The error that counts: "the same" where the difference is exactly the margin."""
    wrong = sum(equivalence(*runs(0.3, 10, seed), 0.3).equivalent for seed in range(1000))
    # At most 5 % by design; the bound allows for chance: p < 1e-4 at 1,000 trials.
    assert wrong <= 78


@pytest.mark.parametrize(
    ("a", "b", "margin", "said"),
    [
        ([1.0] * 4, [1.0] * 4, 1.0, "4 are too few"),
        ([1.0] * 6, [1.0] * 5, 1.0, "as many runs"),
        ([1.0] * 6, [1.0] * 6, 0.0, "margin_ms > 0"),
        ([float("nan")] * 6, [1.0] * 6, 1.0, "without samples"),
    ],
)
def test_what_proves_nothing_is_refused(a: list[float], b: list[float], margin: float, said: str):
    with pytest.raises(ValueError, match=said):
        equivalence(a, b, margin)


def test_a_higher_confidence_needs_more_runs():
    equivalence([1.0] * 5, [1.0] * 5, 1.0)
    with pytest.raises(ValueError, match=r"5 are too few for a confidence of 0\.99"):
        equivalence([1.0] * 5, [1.0] * 5, 1.0, confidence=0.99)
