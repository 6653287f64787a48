"""The closed form against the bucket itself, moved through the same schedule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.models.send_throttle_delay import last_wait
from rtlab.policies.token_bucket import TokenBucket


@given(st.integers(1, 200), st.floats(1, 1000), st.floats(1, 1000), st.integers(1, 50))
def test_the_last_message_waits_as_long_as_the_bucket_makes_it(
    count: int, made: float, rate: float, burst: int
) -> None:
    rule = TokenBucket(rate, burst)
    bucket, now = rule.start(0.0), 0.0
    for n in range(count):
        now = max(now, n / made)
        now += rule.wait(bucket, now)
        bucket, allowed = rule.take(bucket, now)
        assert allowed
    waited = now - (count - 1) / made
    if made >= rate:  # else tokens that nobody took may overflow, and the bucket waits for none
        assert waited == pytest.approx(last_wait(count, made, rate, burst), abs=1e-6 * count)
    else:
        assert waited == pytest.approx(0.0, abs=1e-6 * count)
