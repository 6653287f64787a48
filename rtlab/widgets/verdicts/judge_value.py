"""Judges a value by its expectation (a range, the same value, each once), and shows the two side by side."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from rtlab.errors import RtlabError
from rtlab.figures.chart_style.labels import readable
from rtlab.widgets.verdicts.format_number_with_unit import quantity

__all__ = [
    "CheckOutcome",
    "EachOnce",
    "ExpectedValue",
    "Interval",
    "Range",
    "Same",
]

#: ``"empty"``: no number came, so there is nothing to judge.
CheckOutcome = Literal["holds", "fails", "undecided", "empty"]
Interval = tuple[float, float]
_Numbers = NDArray[np.float64]


class ExpectedValue(ABC):
    """What a value must be: made by the functions of `rtlab.widgets.verdicts.expect`.

    Attributes
    ----------
    text : str
        The expectation in words, without a number that is known only after the run.
    unit : str
        Unit of the value.
    """

    text: str
    unit: str

    @abstractmethod
    def judge(self, value: Any, of: Any = None, interval: Interval | None = None) -> CheckOutcome:
        """Compare a value, and its interval if there is one, with what was expected."""

    @abstractmethod
    def show(self, value: Any, of: Any = None, interval: Interval | None = None) -> str:
        """Return the value, and what it was compared with, in digits."""


class Range(ExpectedValue):
    """Expects the value, or its distance from `of`, in a range; of an array, every value."""

    def __init__(
        self,
        text: str,
        unit: str,
        limits: Interval,
        *,
        strict: bool = False,
        scale: Callable[[_Numbers, _Numbers], _Numbers] | None = None,
        of: float | str | None = None,
        scaled: str = "",
    ) -> None:
        self.text = text
        self.unit = unit
        self._limits = limits
        self._strict = strict
        self._scale = scale
        self._of = of
        self._scaled = scaled

    def judge(self, value: Any, of: Any = None, interval: Interval | None = None) -> CheckOutcome:
        numbers, of = _numbers(value), self._reference(of)
        if not numbers.size or np.isnan(self._place(value, of)).any():
            return "empty"
        if interval is not None and numbers.ndim:
            raise RtlabError("an interval belongs to one number, not to several")
        ends = [self._place(end, of) for end in (interval or (value, value))]
        if any(np.isnan(end).any() for end in ends):
            return "empty"  # an interval of too few numbers
        low, high = np.minimum(*ends), np.maximum(*ends)
        least, most = self._limits
        outside = (high <= least) | (low >= most) if self._strict else (high < least) | (low > most)
        inside = (least < low) & (high < most) if self._strict else (least <= low) & (high <= most)
        if np.all(inside):
            return "holds"
        return "fails" if interval is None or np.any(outside) else "undecided"

    def show(self, value: Any, of: Any = None, interval: Interval | None = None) -> str:
        numbers, reference = _numbers(value), self._reference(of)
        text = _span(numbers, self.unit) if numbers.ndim else quantity(float(numbers), self.unit)
        if interval is not None and not np.isnan(interval).any():
            text += f" [{readable(interval[0])}, {readable(interval[1])}]"
        if self._scale is None:
            return text
        place = self._place(value, reference)
        beside = _span(reference, self.unit) if reference.ndim else quantity(float(reference), self.unit)
        return f"{text} against {beside}: {self._distance(place)}"

    def _distance(self, place: _Numbers) -> str:
        """Say how far off the value is, or the farthest of the values."""
        if self._scaled == "×":
            return _span(place, "×") if place.ndim else quantity(float(place), "×")
        if not place.size:
            return "nothing"
        if place.ndim:
            return f"at most {quantity(float(np.abs(place).max()), self._scaled)} apart"
        return ("+" if place > 0 else "") + quantity(float(place), self._scaled)

    def _place(self, value: Any, of: _Numbers) -> _Numbers:
        if self._scale is None:
            return _numbers(value)
        with np.errstate(all="ignore"):  # a division by 0 gives infinity or NaN, and is judged as such
            return self._scale(_numbers(value), of)

    def _reference(self, of: Any) -> _Numbers:
        if self._scale is None:
            if of is not None:
                raise RtlabError(f"“{self.text}” is held against nothing else: leave out of=")
            return np.array(0.0)
        stated = self._of if isinstance(self._of, int | float) else of
        if stated is None:
            raise RtlabError(f"“{self.text}”: say of what number: found(value, of=…)")
        if stated is not of and of is not None:
            raise RtlabError(f"“{self.text}” has stated its number already: leave out of=")
        return _numbers(stated)


class Same(ExpectedValue):
    """Expects exactly this value."""

    def __init__(self, wanted: Any, unit: str) -> None:
        self.unit = unit
        self._wanted = wanted
        self.text = f"exactly {self._in_words(wanted)}"

    def judge(self, value: Any, of: Any = None, interval: Interval | None = None) -> CheckOutcome:
        if of is not None or interval is not None:
            raise RtlabError(f"“{self.text}” needs neither of= nor interval=")
        value = _plain(value)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "empty"
        return "holds" if bool(np.array_equal(value, _plain(self._wanted))) else "fails"

    def show(self, value: Any, of: Any = None, interval: Interval | None = None) -> str:
        return self._in_words(value)

    def _in_words(self, value: Any) -> str:
        value = _plain(value)
        if value is None:
            return "nothing"
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return quantity(value, self.unit)
        return ", ".join(map(str, value)) + (f" {self.unit}" if self.unit else "") if len(value) else "none"


class EachOnce(ExpectedValue):
    """Expects a complete stream: nothing missing, nothing twice, and in order if `in_order`."""

    def __init__(self, *, in_order: bool) -> None:
        self.unit = ""
        self._in_order = in_order
        self.text = "each once, in order" if in_order else "each once"

    def judge(self, value: Any, of: Any = None, interval: Interval | None = None) -> CheckOutcome:
        if value is None:
            return "empty"
        missing, repeated, late, strange = self._count(value, of)
        return "fails" if missing or repeated or strange or (self._in_order and late) else "holds"

    def show(self, value: Any, of: Any = None, interval: Interval | None = None) -> str:
        if value is None:
            return "nothing"
        missing, repeated, late, strange = self._count(value, of)
        wanted = self._wanted(of)
        text = f"{len(wanted) - missing:,} of {len(wanted):,}, {quantity(repeated, 'repeats')}"
        # A repeat always comes after its successors, so it is not also counted as out of order.
        text += f", {late:,} {'others ' if repeated else ''}out of order" if self._in_order else ""
        return text + (f", {strange:,} never sent" if strange else "")

    def _count(self, came: Sequence[Any], of: Any) -> tuple[int, int, int, int]:
        place = {item: at for at, item in enumerate(self._wanted(of))}
        seen: set[Any] = set()
        repeated = late = strange = 0
        latest = -1
        for item in came:
            if item not in place:
                strange += 1
            elif item in seen:
                repeated += 1
            else:
                seen.add(item)
                late += place[item] < latest
                latest = max(latest, place[item])
        return len(place) - len(seen), repeated, late, strange

    def _wanted(self, of: Any) -> Sequence[Any]:
        if of is None:
            raise RtlabError(f"“{self.text}”: say how many, or which, were sent: found(came, of=count)")
        try:
            return range(operator.index(of))  # also an integer of numpy
        except TypeError:
            return cast("Sequence[Any]", of)


def _refuse_bare(value: object) -> None:
    if isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool":
        raise RtlabError(
            f"a bare {value} shows a reader nothing: give the number, and let the expectation compare it"
        )


def _numbers(value: Any) -> _Numbers:
    _refuse_bare(value)
    try:
        return np.asarray(math.nan if value is None else value, float)
    except (TypeError, ValueError):
        raise RtlabError(f"expected a number or a list of numbers, got {value!r:.60}") from None


def _plain(value: Any) -> Any:
    _refuse_bare(value)
    if isinstance(value, np.ndarray | np.generic):
        return cast("Any", value).tolist()
    return value


def _span(numbers: _Numbers, unit: str) -> str:
    if not numbers.size:
        return "nothing"
    if numbers.size <= 3:
        *others, last = numbers.ravel().tolist()
        return " and ".join(filter(None, [", ".join(map(readable, others)), quantity(last, unit)]))
    return f"{readable(numbers.min())} to {quantity(numbers.max(), unit)} ({numbers.size:,} values)"
