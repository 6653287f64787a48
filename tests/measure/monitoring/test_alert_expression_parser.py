from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.errors import LabError
from rtlab.measure.monitoring.alert_expression_parser import BadExpression, Expression
from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory
from tests.measure.monitoring.test_metrics_rates_and_history import history, page

TWO = history((0.0, page(0, 1, (100, 0, 0))), (1.0, page(10, 4, (195, 5, 0))))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("rate(n_total) > 9 and depth == 4", True),
        ("1 < growth(depth) <= 3", True),
        ("not up == 1 or increase(n_total, over=5) < 10", False),
        ("p99(t) > 0.1", True),
        ("p50(t) > 0.1", False),
        ("burn(t, within=0.1, objective=0.99) > 4.9", True),
        ('value(depth, room="x") == 0', True),
        ("depth * 2 - -1 == 9", True),
        ("depth / (depth - 4) > 0", None),  # nobody knows
        ("depth / (depth - 4) > 0 or depth > 3", True),
        ("depth / (depth - 4) > 0 and depth > 3", None),
    ],
)
def test_it_says_what_it_means(text: str, holds: bool | None) -> None:
    assert Expression(text).holds(TWO) is holds


def test_before_two_looks_nothing_is_known() -> None:
    assert Expression("rate(n_total) > 0").holds(MetricsHistory()) is None
    assert Expression("rate(n_total) > 0").holds(history((0.0, page()))) is None


def test_a_metric_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(LabError, match="depth"):
        Expression("dept > 1").holds(TWO)


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "x", "x >", "x > 'a'", "x in y", "x is y", "x ** 2 > 1", "x > True", "x.y > 1", "x[0] > 1",
        "(lambda: 1)() > 0", "__import__('os').system('id') > 0", "rate(x, over=0) > 1",
        "rate(x, over=y) > 1",
        "rate(1) > 1", "rate(x, **y) > 1", "rate(x, y) > 1", "p99(x, code='1') > 1", "burn(x) > 1",
        "burn(x, within=1, objective=1) > 1", "f(x) > 1", "x > (y := 1)", "x > 1 if y else 2", "\0",
        "x > 1" * 200,
        "x > 1" + "0" * 350, "rate(x, over=1" + "0" * 350 + ") > 1",  # more than a float holds
        "(" * 190 + "x" + ")" * 190 + " > 1" + "." * 90,
    ],
)  # fmt: skip
def test_nothing_else_is_an_expression(text: str) -> None:
    with pytest.raises(BadExpression):
        Expression(text)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_one_error(text: str) -> None:
    with contextlib.suppress(BadExpression):
        Expression(text)
