"""Conditions over metrics, in a small language: parsed with Python's `ast`, never evaluated as Python.

    rate(rtlab_reconnects_total, code="1006", over=5) > 10 and rtlab_ready == 1
    p99(rtlab_turn_seconds) > 0.05
    burn(rtlab_handling_seconds, within=0.05, objective=0.99) > 10

A name is a metric, summed over its labels; `up` is 1 while the server answers, else 0. A condition that
cannot be known is neither true nor false: a rate after one scrape, or anything but `up` while the server
does not answer, because its last numbers are stale.
"""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Final

from rtlab.errors import RtlabError
from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory

__all__ = ["FUNCTIONS", "BadExpression", "Expression"]

#: Default of ``over=``: how many seconds a function looks back.
OVER: Final = 5.0

_MAX_CHARS: Final = 400

_Truth = bool | None


class BadExpression(RtlabError, ValueError):
    """A text that is no expression over metrics; the message says what was expected."""


#: Every function of the language.
FUNCTIONS: Final = ("value", "rate", "increase", "growth", "p50", "p95", "p99", "mean", "burn")

#: Functions of histograms, which accept no labels.
_OF_HISTOGRAMS: Final = frozenset({"p50", "p95", "p99", "mean", "burn"})

_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b if b else math.nan,
}
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[float, float], bool]]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _apply(
    function: str, h: MetricsHistory, name: str, numbers: Mapping[str, float], labels: Mapping[str, str]
) -> float:
    over = numbers["over"]
    match function:
        case "value":
            return h.value(name, **labels)
        case "rate":
            return h.rate(name, over, **labels)
        case "increase":
            return h.increase(name, over, **labels)
        case "growth":
            return h.growth(name, over, **labels)
        case "mean":
            count = h.increase(f"{name}_count", over)
            return h.increase(f"{name}_sum", over) / count if count else math.nan
        case "burn":  # burn rate: the share of slow observations over the share that is allowed
            return h.share_above(numbers["within"], name, over) / (1 - numbers["objective"])
        case _:
            return h.quantile(float(function[1:]) / 100, name, over)


class Expression:
    """A condition over one server's metrics.

    Parameters
    ----------
    text : str
        Comparisons of metrics, functions of `FUNCTIONS` and numbers, with ``and``, ``or``, ``not``,
        ``+ - * /``. Each function takes ``over=`` seconds; those that are not of histograms also
        take labels, such as ``code="1006"``.

    Raises
    ------
    BadExpression
        If the text is anything else. It is never run as Python.

    Examples
    --------
    >>> Expression("rate(rtlab_reconnects_total, over=3) > 2")
    Expression('rate(rtlab_reconnects_total, over=3) > 2')
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _MAX_CHARS:
            raise BadExpression(f"expected at most {_MAX_CHARS} characters, got {len(text)}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise BadExpression(
                f"expected an expression like 'rate(x) > 1', got {text!r:.80}: {error}"
            ) from None
        try:
            self._holds = _condition(tree)
        except RecursionError:
            raise BadExpression("expected fewer parentheses") from None

    def holds(self, history: MetricsHistory) -> bool | None:
        """Return whether the condition holds now; None while that cannot be known.

        Parameters
        ----------
        history : MetricsHistory
            The scrapes of one server.

        Raises
        ------
        LabError
            If the server has no such metric, or ``within`` is not the upper bound of a bucket.
        """
        return self._holds(history)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def _condition(node: ast.expr) -> Callable[[MetricsHistory], _Truth]:
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_condition(value) for value in values]
            decides = isinstance(op, ast.Or)  # the value of a single part that decides the whole

            def both(h: MetricsHistory) -> _Truth:
                found = [part(h) for part in parts]
                return decides if decides in found else None if None in found else not decides

            return both
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _condition(operand)

            def negated(h: MetricsHistory) -> _Truth:
                found = inner(h)
                return None if found is None else not found

            return negated
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            operands = [_number(part) for part in (left, *comparators)]
            if any(type(op) not in _COMPARISONS for op in ops):
                raise BadExpression("expected > >= < <= == or != between two numbers")
            tests = [_COMPARISONS[type(op)] for op in ops]

            def compared(h: MetricsHistory) -> _Truth:
                numbers = [operand(h) for operand in operands]
                if any(map(math.isnan, numbers)):
                    return None
                return all(test(a, b) for test, a, b in zip(tests, numbers, numbers[1:], strict=False))

            return compared
        case _:
            raise BadExpression(f"expected a comparison, like 'x > 1', got {ast.unparse(node)!r:.60}")


def _number(node: ast.expr) -> Callable[[MetricsHistory], float]:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            constant = _float(value)
            return lambda h: constant
        case ast.Name(id="up"):
            return lambda h: float(h.up)
        case ast.Name(id=name):
            return lambda h: h.value(name) if h.up else math.nan
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _number(operand)
            return lambda h: -inner(h)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            a, b, do = _number(left), _number(right), _ARITHMETIC[type(op)]
            return lambda h: do(a(h), b(h))
        case ast.Call(func=ast.Name(id=function), args=args, keywords=keywords):
            return _call(function, args, keywords)
        case _:
            raise BadExpression(f"expected a number, a metric or a function, got {ast.unparse(node)!r:.60}")


def _call(
    function: str, args: list[ast.expr], keywords: list[ast.keyword]
) -> Callable[[MetricsHistory], float]:
    if function not in FUNCTIONS:
        raise BadExpression(f"expected one of {', '.join(FUNCTIONS)}, got {function!r:.40}")
    if len(args) != 1 or not isinstance(args[0], ast.Name):
        raise BadExpression(f"{function}: expected one metric's name in the first place")
    name, needs = args[0].id, ("within", "objective") if function == "burn" else ()
    numbers, labels = {"over": OVER}, dict[str, str]()
    for keyword in keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg in ("over", *needs):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise BadExpression(f"{function}: expected {keyword.arg}= a number above 0")
            numbers[keyword.arg] = _float(value)
        elif isinstance(value, str) and keyword.arg is not None and function not in _OF_HISTOGRAMS:
            labels[keyword.arg] = value
        else:
            raise BadExpression(f'{function}: expected labels like code="1006", got {keyword.arg}=…')
    if missing := [need for need in needs if need not in numbers]:
        raise BadExpression(f"{function}: expected {', '.join(missing)} too")
    if not numbers.get("objective", 0.5) < 1:
        raise BadExpression(f"{function}: expected objective= a share below 1, like 0.99")
    return lambda h: _apply(function, h, name, numbers, labels) if h.up else math.nan


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise BadExpression(f"expected numbers up to {sys.float_info.max:.1e}") from None
