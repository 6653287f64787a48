"""Detection: the uniform laws against cycles that are written out, and TCP's own patience."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.models import detection_time_distribution as detection

DEATHS = np.random.default_rng(5).uniform(1000, 2000, 5000)
BOUND = 1.63 / math.sqrt(len(DEATHS))  # Kolmogorov–Smirnov, 1 %


def fits(times: np.ndarray, law: detection.Uniform) -> bool:
    from scipy import stats  # here, because its import takes a second in every worker

    return stats.kstest(times, law.cdf).statistic < BOUND


def test_ping_with_a_timeout() -> None:
    interval, timeout = 7.0, 2.0
    first_unanswered = np.ceil(DEATHS / interval) * interval
    times = first_unanswered + timeout - DEATHS
    assert fits(times, detection.ping_timeout(interval, timeout))
    assert not fits(times, detection.ping_timeout(interval, timeout + 1))
    assert times.mean() == pytest.approx(detection.ping_timeout(interval, timeout).mean, rel=0.02)


def test_sweep() -> None:
    interval = 7.0
    alive_at = np.floor(DEATHS / interval) * interval  # the last ping that was answered
    times = alive_at + 2 * interval - DEATHS
    assert fits(times, detection.sweep(interval))
    assert not fits(times, detection.ping_timeout(interval, interval / 2))


def test_watchdog() -> None:
    interval, grace = 7.0, 2.0
    last_beat = np.floor(DEATHS / interval) * interval
    times = last_beat + interval + grace - DEATHS
    assert fits(times, detection.watchdog(interval, grace))
    assert not fits(times, detection.sweep(interval))


def test_a_uniform_law_outside_its_bounds() -> None:
    np.testing.assert_array_equal(detection.Uniform(2, 6).cdf([0, 2, 3, 6, 9]), [0, 0, 0.25, 1, 1])


def test_phi_is_the_chance_of_a_wrong_verdict() -> None:
    beats = np.random.default_rng(5).normal(1.0, 0.1, 1_000_000)
    for silence in (1.0, 1.1, 1.2, 1.3):
        wrong = np.mean(beats > silence)
        assert 10 ** -detection.phi(silence, 1.0, 0.1) == pytest.approx(wrong, rel=0.1)


@given(st.floats(0.5, 250), st.floats(0.1, 100), st.floats(0.01, 10))
def test_phi_and_its_inverse_agree(threshold: float, mean: float, deviation: float) -> None:
    silence = detection.phi_timeout(threshold, mean, deviation)
    assert detection.phi(silence, mean, deviation) == pytest.approx(threshold, rel=1e-4)


def test_phi_keeps_growing_where_floats_end() -> None:
    silence = np.linspace(0, 100, 2000)
    values = detection.phi(silence, 1.0, 0.1)
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values) >= 0)
    assert np.max(np.abs(np.diff(values, 2))) < 0.6  # no step where the two formulas meet


def test_tcp_alone_takes_a_quarter_of_an_hour_to_notice_lost_data() -> None:
    clock, rto = 0.0, 0.2
    for _ in range(16):  # the first transmission and 15 more, each waits one timeout
        clock += rto
        rto = min(2 * rto, 120.0)
    assert detection.tcp_retransmission_time() == pytest.approx(clock)
    assert detection.tcp_retransmission_time() == pytest.approx(924.6)


def test_tcp_keepalive_takes_more_than_two_hours() -> None:
    assert detection.tcp_keepalive_time() == 7200 + 9 * 75
    assert detection.tcp_keepalive_time(idle=1, interval=1, probes=2) == 3
