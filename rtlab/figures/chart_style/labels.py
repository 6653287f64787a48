"""Texts of axes: one label for each quantity, and one format of numbers."""

from __future__ import annotations

from typing import Final

__all__ = ["LABELS", "readable"]

LABELS: Final[dict[str, str]] = {
    "time": "time since start (s)",
    "intended": "intended send time (s)",
    "latency": "latency (ms)",
    "transit": "transit, sent to received (ms)",
    "lateness": "schedule lateness (ms)",
    "rtt": "round trip (ms)",
}


def readable(value: float) -> str:
    """Return a number in readable form: three significant digits, and thousands separators.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        The text; only numbers below 0.0001, and from 1e15 on, have an exponent.

    Examples
    --------
    >>> readable(1437.2), readable(0.05177), readable(1e300)
    ('1,437', '0.0518', '1e+300')
    """
    return f"{value:,.0f}" if 100 <= abs(value) < 1e15 else f"{value:.3g}"
