"""Formats a number with its unit, as people write it: ``1 reconnect``, ``3 reconnects``, ``12/s``."""

from __future__ import annotations

import math
import re
from typing import Final

from rtlab.figures.chart_style.labels import readable

__all__ = ["quantity"]

#: Plural endings of nouns at the beginning of a unit, and their singular endings. Units of measure, such as
#: ``ms``, are too short to match; words from the first preposition on have the same form in both.
_PLURALS: Final = ((r"ies\b", "y"), (r"(?<=ss|sh|ch|.x)es\b", ""), (r"(?<=[a-z]{2}[^sui])s\b", ""))
_REST: Final = re.compile(r"(?:^| )(?:against|at|by|for|from|in|of|out|per|than|to|with)\b.*")


def quantity(value: float, unit: str = "") -> str:
    """Return a number with its unit, as people write it.

    Examples
    --------
    >>> quantity(1437.2, "ms"), quantity(12, "/s"), quantity(3), quantity(1, "reconnects for each client")
    ('1,437 ms', '12/s', '3', '1 reconnect for each client')
    """
    if math.isfinite(value):
        text = readable(value)
    else:
        text = "nothing" if math.isnan(value) else "∞" if value > 0 else "−∞"
    unit = _single(unit) if abs(value) == 1 else unit
    return text + unit if unit.startswith("/") else f"{text} {unit}".rstrip()


def _single(unit: str) -> str:
    """Return the singular form of a unit."""
    rest = _REST.search(unit)
    head, tail = (unit[: rest.start()], unit[rest.start() :]) if rest else (unit, "")
    if not head[:1].isalpha():  # "% of …", "× the …"
        return unit
    words = head.split(" ")
    for n, word in enumerate(words):
        for ending, single in _PLURALS:
            words[n] = re.sub(ending, single, word)
            if words[n] != word:
                break
    return " ".join(words) + tail
