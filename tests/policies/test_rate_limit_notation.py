from __future__ import annotations

import pytest

from rtlab.policies.fixed_window_rate_limit import FixedWindow
from rtlab.policies.rate_limit_notation import RateLimit, parse_rate_limit
from rtlab.policies.token_bucket import TokenBucket


@pytest.mark.parametrize("text", ["user messages 5 10", "room bytes 10 20 window"])
def test_a_limit_is_what_it_says(text: str) -> None:
    limit = parse_rate_limit(text)
    assert str(limit) == text
    assert isinstance(limit.rule, FixedWindow if text.endswith("window") else TokenBucket)
    assert limit == RateLimit(limit.scope, limit.unit, limit.rule)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user",
        "user messages 5",
        "all messages 5 5",
        "user words 5 5",
        "user bytes 0 5",
        "user bytes 5 0",
        "user bytes x 5",
        "user bytes 5 5 bucket",
        "user bytes 0 5 window",
        "user bytes nan 5",
    ],
)
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a rate limit like 'connection messages 50 100'"):
        parse_rate_limit(text)


@pytest.mark.parametrize("rule", [TokenBucket(1_048_576, 10_485_760), FixedWindow(1_048_577, 1.0)])
def test_a_limit_of_many_bytes_reads_back_with_all_its_digits(rule: TokenBucket | FixedWindow) -> None:
    limit = RateLimit("user", "bytes", rule)
    assert parse_rate_limit(str(limit)) == limit
