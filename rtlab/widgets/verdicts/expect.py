"""Functions that state what is expected of a number before the run: ``expect.below(1, "ms")``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rtlab.errors import RtlabError
from rtlab.figures.chart_style.labels import readable
from rtlab.widgets.verdicts.format_number_with_unit import quantity
from rtlab.widgets.verdicts.judge_value import EachOnce, ExpectedValue, Range, Same

__all__ = [
    "above",
    "at_least",
    "at_most",
    "below",
    "between",
    "each_once",
    "equals",
    "times",
    "within",
]


def below(limit: float, unit: str = "") -> ExpectedValue:
    """Expect less than `limit`."""
    return Range(f"below {quantity(limit, unit)}", unit, (-math.inf, limit), strict=True)


def above(limit: float, unit: str = "") -> ExpectedValue:
    """Expect more than `limit`."""
    return Range(f"above {quantity(limit, unit)}", unit, (limit, math.inf), strict=True)


def at_most(limit: float, unit: str = "") -> ExpectedValue:
    """Expect `limit` or less."""
    return Range(f"at most {quantity(limit, unit)}", unit, (-math.inf, limit))


def at_least(limit: float, unit: str = "") -> ExpectedValue:
    """Expect `limit` or more."""
    return Range(f"at least {quantity(limit, unit)}", unit, (limit, math.inf))


def between(low: float, high: float, unit: str = "") -> ExpectedValue:
    """Expect something from `low` to `high`, both included."""
    return Range(f"{readable(low)} to {quantity(high, unit)}", unit, (low, high))


def within(margin: float, margin_unit: str = "", *, of: float | str, unit: str = "") -> ExpectedValue:
    """Expect at most `margin` away from another number.

    Parameters
    ----------
    margin : float
        The largest distance that still counts as the same.
    margin_unit : str
        ``"%"``: the margin is a share of the other number; else the unit of the margin and both numbers.
    of : float or str
        The other number, or its name if ``found(…, of=…)`` gives the number. Use 0 if the value itself
        is a difference.
    unit : str
        Unit of both numbers, if the margin is in ``"%"``.

    Examples
    --------
    >>> within(1, "ms", of=0).text
    'within ±1 ms'
    >>> within(5, "%", of="the model", unit="ms").show(0.52, 0.5)
    '0.52 ms against 0.5 ms: +4 %'
    """
    relative = margin_unit == "%"
    if of == 0 and not relative:
        return Range(f"within ±{quantity(margin, margin_unit)}", margin_unit, (-margin, margin))
    unit = unit if relative else margin_unit
    name = of if isinstance(of, str) else quantity(of, unit)
    return Range(
        f"within {quantity(margin, margin_unit)} of {name}",
        unit,
        (-margin, margin),
        of=of,
        scaled=margin_unit,
        scale=lambda value, other: (
            np.divide(100 * (value - other), np.abs(other)) if relative else value - other
        ),
    )


def times(
    *, of: float | str, at_least: float = -math.inf, at_most: float = math.inf, unit: str = ""
) -> ExpectedValue:
    """Expect a multiple of another number.

    Parameters
    ----------
    of : float or str
        The other number, or its name if ``found(…, of=…)`` gives the number.
    at_least, at_most : float
        Limits of the factor; give one, or both.
    unit : str
        Unit of both numbers.

    Examples
    --------
    >>> times(of="WebSocket", at_least=3, unit="bytes").show(648, 186)
    '648 bytes against 186 bytes: 3.48 ×'
    """
    if math.isinf(at_least) and math.isinf(at_most):
        raise RtlabError("say at_least= or at_most= how many times")
    name = of if isinstance(of, str) else quantity(of, unit)
    if math.isinf(at_most):
        words = f"at least {quantity(at_least, '×')}"
    elif math.isinf(at_least):
        words = f"at most {quantity(at_most, '×')}"
    else:
        words = f"{readable(at_least)} to {quantity(at_most, '×')}"
    return Range(
        f"{words} {name}",
        unit,
        (at_least, at_most),
        of=of,
        scaled="×",
        scale=lambda value, other: np.divide(value, other),
    )


def equals(wanted: float | str | Sequence[Any], unit: str = "") -> ExpectedValue:
    """Expect exactly this number, text or list."""
    return Same(wanted, unit)


def each_once(*, in_order: bool = True) -> ExpectedValue:
    """Expect every message of a stream, none twice.

    ``found(came, of=count)`` takes the received messages as numbers from 0; with a list of what was sent
    as ``of=``, it takes the received items.

    Examples
    --------
    >>> each_once().show([0, 1, 1, 3], 5)
    '3 of 5, 1 repeat, 0 others out of order'
    """
    return EachOnce(in_order=in_order)
