from __future__ import annotations

import contextlib
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.widgets.verdicts.parse_typed_number import parse_number


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("5", "", 5),
        (" 0.5 ", "ms", 0.5),
        (".5", "ms", 0.5),
        ("1,000", "", 1000),
        ("1,234,567.5", "", 1234567.5),
        ("1.234.567,5", "", 1234567.5),
        ("2e3", "", 2000),
        ("2·10^3", "", 2000),
        ("3 × 10^-2", "s", 0.03),
        ("1 000", "", 1000),
        ("1 500", "ms", 1500),
        ("1\u202f500", "ms", 1500),
        ("1'500", "ms", 1500),
        ("1,5", "ms", 1.5),
        ("0,500", "ms", 0.5),
        ("1,500", "ms", 1500),
        ("1.500", "ms", 1.5),
        ("1.5 ms", "ms", 1.5),
        ("1.5ms", "ms", 1.5),
        ("300 us", "ms", 0.3),
        ("300 µs", "ms", 0.3),
        ("0.3 ms", "µs", 300),
        ("2 s", "ms", 2000),
        ("2 seconds", "ms", 2000),
        ("2 min", "s", 120),
        ("~3", "ms", 3),
        ("≈ 3", "ms", 3),
        ("about 3 ms", "ms", 3),
        ("3 ms?", "ms", 3),
        ("50 %", "%", 50),
        ("50%", "", 0.5),
        ("50", "%", 50),
        ("1/3", "", 1 / 3),
        ("1/3", "%", 100 / 3),
        ("1/2 ms", "µs", 500),
        ("1.5 kB", "bytes", 1500),
        ("2 KiB", "bytes", 2048),
        ("100 B", "bytes", 100),
        ("400/s", "/s", 400),
        ("400 per second", "/s", 400),
        ("1 message", "messages", 1),
        ("4 round trips", "round trips", 4),
        ("3", "of 6", 3),
        ("3 of 6", "of 6", 3),
        ("10k", "/s", 10_000),
        ("10 k", "", 10_000),
        ("2M", "bytes", 2e6),
        ("3x", "", 3),
        ("3 times", "×", 3),
        ("+3", "", 3),
    ],
)
def test_numbers_are_read_as_people_type_them(text: str, unit: str, value: float):
    assert parse_number(text, unit=unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit", "reason"),
    [
        ("many", "ms", "“many” is not a number: write it like 0.5 or 200 ms"),
        (",", "", "not a number"),
        ("", "", "not a number"),
        ("5 apples", "ms", "“apples” in “5 apples” was not understood: the answer is in ms"),
        ("5 ms", "bytes", "the answer is in bytes"),
        ("5 ms", "", "the answer has no unit"),
        ("1-2", "ms", "one number, like 1"),
        ("1 to 2 ms", "ms", "is a range"),
        ("<1", "ms", "is a range: commit to one number, like 1"),
        (">= 2 ms", "ms", "is a range: commit to one number, like 2"),
        ("<", "ms", "“<” is not a number"),
        ("<img src=x onerror=alert(1)>", "", "“<img src=x onerror=alert(1)>” is not a number"),
        ("1,2,3", "", "two ways"),
        ("1/0", "", "divides by zero"),
        ("nan", "", "finite"),
        ("inf", "", "finite"),
        ("1e999", "", "finite"),
        ("-1", "", "below 0"),
        ("−1", "", "below 0"),
    ],
)
def test_anything_else_is_explained(text: str, unit: str, reason: str):
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_number(text, unit=unit)


@given(st.floats(0, 1e12), st.sampled_from(["{}", "{:.3f}", "{:,}", "~{}", "{} ms", "{:e}"]))
def test_whatever_python_prints_is_read_back(value: float, form: str):
    text = form.format(value)
    assert math.isclose(parse_number(text, unit="ms"), value, rel_tol=1e-5, abs_tol=1e-3)


@given(st.text(max_size=20), st.sampled_from(["", "ms", "%", "/s", "of 6"]))
def test_no_text_brings_another_error(text: str, unit: str):
    value = 0.0
    with contextlib.suppress(ValueError):
        value = parse_number(text, unit=unit)
    assert math.isfinite(value)
