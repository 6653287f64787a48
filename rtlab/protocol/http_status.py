"""What an HTTP answer says about the next attempt."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

__all__ = ["retry_after"]


def retry_after(text: str, date: str = "") -> float | None:
    """Read ``Retry-After`` (RFC 9110 §10.2.3) as seconds; None without a readable one.

    Parameters
    ----------
    text : str
        The field: seconds, or a date.
    date : str
        The answer's own ``Date``: a date counts from there, so that the two clocks need
        not agree.

    Examples
    --------
    >>> retry_after("7"), retry_after("soon")
    (7.0, None)
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError):
        return None
