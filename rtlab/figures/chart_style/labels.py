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
    """Return a number in readable form: three significant digits, thousands separators, no exponent.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        The text; only numbers below 0.0001 have an exponent.

    Examples
    --------
    >>> readable(1437.2), readable(0.05177)
    ('1,437', '0.0518')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
