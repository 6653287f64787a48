from __future__ import annotations

import pytest

from tests.notebook_exercises import run

NAME = "16_input_limits_encryption"


async def test_exercise_1():
    link = (await run(NAME, 1))["link"]
    for good in ("https://example.com/a?b=c:d", "HTTP://example.com", "mailto:ada@example.com"):
        assert link(good) == good
    for bad in (
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "\x01java\nscript:alert(1)",
        "data:text/html,hi",
        "//example.com",
        "",
    ):
        assert link(bad) == "#"


async def test_exercise_2():
    # The hint: what is beyond the burst, at the rate.
    assert (await run(NAME, 2))["seconds"] == pytest.approx((1_000_000 - 64_000) / 16_000)
