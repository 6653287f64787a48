"""The words and numbers on axes: one label for each quantity, one way to write a number."""

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
    """Return a number as people write it: three digits, no exponent, commas.

    Parameters
    ----------
    value : float
        In the unit that stands beside it.

    Returns
    -------
    str
        Exponents remain below 0.0001 only.

    Examples
    --------
    >>> readable(1437.2), readable(0.05177)
    ('1,437', '0.0518')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
