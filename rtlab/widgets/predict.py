"""The reader commits to a number before the run, and sees it against the measurement after."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, cast

import anywidget
import traitlets

from rtlab.figures.palette import readable
from rtlab.widgets.loop_callback import Hop

__all__ = ["Predict", "compare", "parse_number"]

_HERE: Final = Path(__file__).parent / "js"


def parse_number(text: str, minimum: float = 0.0) -> float:
    """Read a number as people type it.

    Parameters
    ----------
    text : str
        Like ``"0.5"``, ``"1,000"``, ``"2e3"``.
    minimum : float
        The smallest sensible value.

    Raises
    ------
    ValueError
        With a sentence for the reader.

    Examples
    --------
    >>> parse_number(" 1,000 ")
    1000.0
    """
    cleaned = text.strip().replace(" ", "").replace("_", "")
    head, *groups = cleaned.split(",")
    if groups and head and all(len(group.split(".")[0]) == 3 for group in groups):
        cleaned = head + "".join(groups)  # 1,000: thousands
    try:
        value = float(cleaned)
    except ValueError:
        raise ValueError(f"“{text.strip()}” is not a number: write it like 0.5 or 200") from None
    if not math.isfinite(value):
        raise ValueError("a finite number, please: write it like 0.5 or 200")
    if value < minimum:
        raise ValueError(f"it cannot be below {minimum:g}: {value:g} is too small")
    return value


def compare(predicted: float | None, measured: float, unit: str = "") -> str:
    """Say in one sentence how far off a prediction is.

    Parameters
    ----------
    predicted : float or None
        None when the reader made none.
    measured : float
        The measurement.
    unit : str
        Of both.

    Examples
    --------
    >>> compare(5, 0.5, "ms")
    'You predicted 5 ms, measured was 0.5 ms: 10 times too high.'
    """
    unit = f" {unit}" if unit else ""
    if not math.isfinite(measured):
        return "Nothing was measured, so there is nothing to compare."
    if predicted is None:
        return f"Measured was {readable(measured)}{unit}; you made no prediction."
    start = f"You predicted {readable(predicted)}{unit}, measured was {readable(measured)}{unit}"
    if predicted == measured:
        return f"{start}: exact."
    if predicted <= 0 or measured <= 0:
        return f"{start}: off by {readable(abs(predicted - measured))}{unit}."
    factor = max(predicted, measured) / min(predicted, measured)
    if factor < 1.1:
        return f"{start}: within 10 %."
    return (
        f"{start}: {readable(float(f'{factor:.2g}'))} times too {'high' if predicted > measured else 'low'}."
    )


class Predict(anywidget.AnyWidget):
    """A question that is answered with a number before the run.

    Parameters
    ----------
    question : str
        What to predict.
    unit : str
        The unit of the answer.
    minimum : float
        The smallest answer that is accepted.

    Notes
    -----
    Enter, or leaving the field, commits the number. Without a browser nothing is
    printed and nothing waits.

    Examples
    --------
    In one cell, and after the run in another::

        guess = Predict("How long does an echo take on this machine?", unit="ms")
        guess

        guess.reveal(recorder.percentiles("echo")[50])
    """

    _esm = (_HERE / "predict.js").read_text("utf-8")
    _css = (_HERE / "predict.css").read_text("utf-8")

    question = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    typed = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    tone = traitlets.Enum(("quiet", "good", "bad"), "quiet").tag(sync=True)
    locked = traitlets.Bool(False).tag(sync=True)

    def __init__(self, question: str, unit: str = "", *, minimum: float = 0.0) -> None:
        super().__init__(question=question, unit=unit)
        self.minimum = minimum
        self.value: float | None = None
        self.measured: float | None = None
        self._hop = Hop()
        self.on_msg(self._receive)

    def reveal(self, measured: float) -> None:
        """Show a measurement against the prediction, which can then no longer be changed.

        Parameters
        ----------
        measured : float
            In the same unit.
        """
        self.measured = float(measured)
        self.locked = True
        self._say(self.verdict, "quiet")

    def reset(self) -> None:
        """Ask again."""
        self.value = self.measured = None
        self.locked = False
        self.typed = ""
        self._say("", "quiet")

    @property
    def verdict(self) -> str:
        """The comparison in one sentence; empty before `reveal`."""
        return "" if self.measured is None else compare(self.value, self.measured, self.unit)

    def commit(self, text: str) -> None:
        """Take what the reader typed; ignored after `reveal`."""
        if self.locked:
            return
        self.typed = text
        self.value = None
        if not text.strip():
            self._say("", "quiet")
            return
        try:
            self.value = parse_number(text, self.minimum)
        except ValueError as error:
            self._say(str(error), "bad")
        else:
            self._say(f"Noted: {self.value:g} {self.unit}".rstrip() + ". Now run the next cells.", "good")

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        text = cast("dict[str, Any]", content).get("commit") if isinstance(content, dict) else None
        if isinstance(text, str):
            self._hop(self.commit, text[:100])

    def _say(self, text: str, tone: str) -> None:
        self.answer = text
        self.tone = tone

    def __repr__(self) -> str:
        return f"Predict({self.question!r}, unit={self.unit!r})"
