"""Reads a number as people type it: with a unit, a comma, a tilde, as a fraction."""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = ["parse_number"]

#: Unit → (quantity, factor to its base unit). Units of one quantity can be converted into each other.
_UNITS: Final[dict[str, tuple[str, float]]] = {
    **dict.fromkeys(("ns", "nanosecond"), ("time", 1e-9)),
    **dict.fromkeys(("µs", "us", "μs", "usec", "microsecond"), ("time", 1e-6)),
    **dict.fromkeys(("ms", "msec", "millisecond"), ("time", 1e-3)),
    **dict.fromkeys(("s", "sec", "second"), ("time", 1.0)),
    **dict.fromkeys(("m", "min", "minute"), ("time", 60.0)),
    **dict.fromkeys(("h", "hour"), ("time", 3600.0)),
    **dict.fromkeys(("b", "byte"), ("bytes", 1.0)),
    **dict.fromkeys(("kb", "kilobyte"), ("bytes", 1e3)),
    **dict.fromkeys(("mb", "megabyte"), ("bytes", 1e6)),
    "kib": ("bytes", 1024.0),
    "mib": ("bytes", 1048576.0),
    **dict.fromkeys(("%", "percent", "per cent"), ("share", 0.01)),
    **dict.fromkeys(("/s", "per second", "/sec", "hz"), ("rate", 1.0)),
    **dict.fromkeys(("×", "x", "times", "-fold"), ("factor", 1.0)),
}
_ABOUT: Final = re.compile(
    r"^(?:[~≈≃∼=]|about|around|approx\.?|approximately|roughly|circa|ca\.?|maybe)\s*", re.I
)
_NUMBER: Final = re.compile(
    r"""(?P<sign>[-−+]?)\s*
    (?P<digits>\d[\d\s'’_.,]*|[.,]\d+)           # with groups, and a point or a comma
    (?:\s*[×x*·]\s*10\s*(?:\^|\*\*)\s*(?P<power>[-−]?\d+)|e(?P<e>[-+−]?\d+))?
    (?:\s*/\s*(?P<under>\d[\d.,]*))?               # a fraction
    \s*(?P<rest>.*)""",
    re.VERBOSE | re.IGNORECASE,
)
_SUFFIXES: Final = {"k": 1e3, "M": 1e6}


def parse_number(text: str, minimum: float = 0.0, unit: str = "", *, maximum: float = math.inf) -> float:
    """Read a number as people type it.

    Parameters
    ----------
    text : str
        Like ``"0.5"``, ``"1,5"``, ``"1,000"``, ``"2e3"``, ``"~3"``, ``"300 us"``, ``"1/3"``.
    minimum, maximum : float
        The smallest and the largest sensible value.
    unit : str
        The unit of the answer; a typed unit is converted to it.

    Returns
    -------
    float
        The number in `unit`. A comma before exactly three digits groups thousands; any other
        is a decimal comma.

    Raises
    ------
    ValueError
        If the text is no such number; the message tells the reader which part was not understood.

    Examples
    --------
    >>> parse_number(" 1,000 "), parse_number("≈ 1,5"), parse_number("300 us", unit="ms")
    (1000.0, 1.5, 0.3)
    """
    typed = text.strip()
    bare = _ABOUT.sub("", typed.rstrip("?!. ")).strip()
    if re.fullmatch(r"[-+−]?(?:nan|inf(?:inity|inite)?|∞)", bare, re.I):
        raise ValueError("a finite number, please: write it like 0.5 or 200")
    if bare[:1] in "<>≤≥" and bare:
        bound = _NUMBER.match(bare.lstrip("<>=≤≥ "))
        if bound is not None:
            raise ValueError(f"“{typed}” is a range: commit to one number, like {bound['digits'].strip()}")
    match = _NUMBER.fullmatch(bare)
    if match is None:
        raise ValueError(f"“{typed}” is not a number: write it like {_example(unit)}")
    rest = match["rest"].strip()
    if re.match(r"(?:[-–—…]|to|or|\+/?-|±)\s*\d", rest, re.I):
        raise ValueError(f"“{typed}” is a range: commit to one number, like {match['digits'].strip()}")
    value = _decimal(match["digits"], typed)
    value *= float("1e" + (match["power"] or match["e"] or "0").replace("−", "-"))
    is_fraction = match["under"] is not None
    if is_fraction:
        under = _decimal(match["under"], typed)
        if not under:
            raise ValueError(f"“{typed}” divides by zero: write it like {_example(unit)}")
        value /= under
    if match["sign"] in ("-", "−"):
        value = -value
    if rest[:1] in _SUFFIXES and (len(rest) == 1 or rest[1] == " "):
        value, rest = value * _SUFFIXES[rest[0]], rest[1:].strip()
    if is_fraction and not rest and unit == "%":
        value *= 100  # a third is 33 %
    value *= _factor(rest, unit, typed)
    if not math.isfinite(value):
        raise ValueError("a finite number, please: write it like 0.5 or 200")
    if value < minimum:
        raise ValueError(f"it cannot be below {minimum:g}: {value:g} is too small")
    if value > maximum:
        raise ValueError(f"it cannot be above {maximum:g}: {value:g} is too large")
    return value


def _decimal(digits: str, typed: str) -> float:
    """Read digits with a point or a comma, and groups of three."""
    digits = re.sub(r"[\s'’_]", "", digits).rstrip(",.")
    point, comma = digits.rfind("."), digits.rfind(",")
    if point >= 0 and comma >= 0:  # both: the last one is the decimal sign
        group, decimal = (",", ".") if point > comma else (".", ",")
    elif digits.count(",") == 1:
        thousands = re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits)
        group, decimal = (",", ".") if thousands else (" ", ",")
    else:  # a sign that occurs more than once groups thousands
        group, decimal = (".", ",") if digits.count(".") > 1 else (",", ".")
    whole, _, _ = digits.partition(decimal)
    if group in digits and not re.fullmatch(rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+", whole):
        raise ValueError(f"“{typed}” can be read in two ways: write it without commas, like 1500 or 1.5")
    return float(digits.replace(group, "").replace(decimal, "."))


def _factor(typed_unit: str, unit: str, typed: str) -> float:
    """Return the factor from the typed unit to the answer's unit."""
    if not typed_unit or _same(typed_unit, unit):
        return 1.0
    is_, wanted = _unit(typed_unit), _unit(unit)
    if is_ is not None and wanted is not None and is_[0] == wanted[0]:
        return is_[1] / wanted[1]
    if is_ is not None and not unit and is_[0] in ("share", "factor"):
        return is_[1]
    wanted_unit = f"the answer is in {unit}" if unit else "the answer has no unit"
    raise ValueError(
        f"“{typed_unit}” in “{typed}” was not understood: {wanted_unit}; write it like {_example(unit)}"
    )


def _same(a: str, b: str) -> bool:
    a, b = (word.strip().lower().removesuffix(".") for word in (a, b))
    return a.removesuffix("s") == b.removesuffix("s")


def _unit(name: str) -> tuple[str, float] | None:
    name = name.strip().lower().removesuffix(".")
    return _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))


def _example(unit: str) -> str:
    return f"0.5 or 200 {unit}" if _unit(unit) and unit[0] != "/" else "0.5 or 200"
