"""The law of the window, and its inverse; the measured rates are in the notebook."""

from __future__ import annotations

import pytest

from rtlab.models.window_throughput import window_for, window_throughput


def test_a_window_of_five_starves_a_long_link():
    assert window_throughput(5, 0.1) == pytest.approx(50)
    assert window_throughput(5, 0.0001) == pytest.approx(50_000)


def test_the_window_of_a_rate_is_the_inverse():
    for rate, rtt in ((1, 0.2), (1000, 0.2), (20_000, 0.01)):
        assert window_throughput(window_for(rate, rtt), rtt) == pytest.approx(rate)
