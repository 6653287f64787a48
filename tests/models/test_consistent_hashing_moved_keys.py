from __future__ import annotations

import numpy as np
import pytest

from rtlab.models.consistent_hashing_moved_keys import modulo_moved_share, moved_share, moved_share_deviation


@pytest.mark.parametrize(("points", "keys"), [(2, 4_000), (20, 40)])
def test_the_deviation_is_that_of_random_rings_and_random_keys(points: int, keys: int):
    rng, shares = np.random.default_rng(3), list[float]()
    for _ in range(400):
        at = rng.random(4 * points)
        order = np.argsort(at)
        # A key belongs to the first point behind it; the last node is the one that joins.
        found = np.searchsorted(at[order], rng.random(keys)) % (4 * points)
        shares.append(float(np.mean(order[found] >= 3 * points)))
    assert np.mean(shares) == pytest.approx(float(moved_share(3)), abs=0.03)
    assert np.std(shares) == pytest.approx(float(moved_share_deviation(3, keys, points)), rel=0.15)


def test_without_a_ring_only_the_sample_counts():
    assert float(moved_share_deviation(3, 300)) == pytest.approx(np.sqrt(0.25 * 0.75 / 300))


@pytest.mark.parametrize("nodes", [2, 3, 7])
def test_a_remainder_moves_nearly_all(nodes: int):
    keys = nodes * (nodes + 1)
    stay = sum(key % nodes == key % (nodes + 1) for key in range(keys)) / keys
    assert 1 - stay == pytest.approx(float(modulo_moved_share(nodes)))
