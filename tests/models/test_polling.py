"""Polling: the closed forms against a poller that is played message by message."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.models import polling


def play_long_poll(rate: float, gap: float, n: int, seed: int) -> tuple[float, float]:
    """One client, n arrivals: mean messages per response, and mean wait for a request."""
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))
    free_at, held, responses, waits = 0.0, [], 0, []
    for at in arrivals:
        if held and at > free_at:  # the request came while they were held: they left then
            waits += [free_at - h for h in held]
            held, responses, free_at = [], responses + 1, free_at + gap
        if at >= free_at:
            waits.append(0.0)
            responses, free_at = responses + 1, at + gap
        else:
            held.append(at)
    return len(waits) / responses, float(np.mean(waits))


@pytest.mark.parametrize(("rate", "gap"), [(1.0, 0.1), (10.0, 0.1), (100.0, 0.1), (20.0, 0.3)])
def test_long_polling_agrees_with_a_simulation(rate: float, gap: float) -> None:
    per_response, wait = play_long_poll(rate, gap, 200_000, seed=3)
    assert per_response == pytest.approx(polling.long_poll_messages_per_response(rate, gap), rel=0.01)
    assert wait == pytest.approx(polling.long_poll_extra_wait(rate, gap), rel=0.02)
    assert polling.long_poll_extra_wait(rate, gap) <= gap


def test_short_polling_agrees_with_a_simulation() -> None:
    rate, interval = 0.7, 2.0
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / rate, 200_000))
    polls = np.ceil(arrivals / interval)
    assert np.mean(polls * interval - arrivals) == pytest.approx(polling.short_poll_delay(interval), rel=0.01)
    empty = 1 - len(np.unique(polls)) / polls[-1]
    assert empty == pytest.approx(polling.short_poll_empty_share(rate, interval), rel=0.02)


def test_the_limits_are_one_message_each_or_one_response_a_gap() -> None:
    assert polling.long_poll_messages_per_response(0.0, 0.1) == 1
    assert polling.long_poll_requests_rate(1e-6, 0.1) == pytest.approx(1e-6)
    assert polling.long_poll_requests_rate(1e6, 0.1) == pytest.approx(10)
    assert polling.long_poll_extra_wait(1e6, 0.1) == pytest.approx(0.05)


def test_arrays_are_taken_whole() -> None:
    rates = np.array([10.0, 100.0])
    np.testing.assert_allclose(polling.long_poll_extra_wait(rates, 0.1), [0.0366, 0.0500], atol=1e-4)
    assert polling.long_poll_requests_rate(rates, 0.1).shape == (2,)
