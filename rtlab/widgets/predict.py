"""The reader commits to a number before the run, and sees it against the measurement after."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
from html import escape
from typing import Any

import ipywidgets

__all__ = ["Predict", "compare", "parse_number"]


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
        return f"Measured was {measured:.3g}{unit}; you made no prediction."
    start = f"You predicted {predicted:.3g}{unit}, measured was {measured:.3g}{unit}"
    if predicted == measured:
        return f"{start}: exact."
    if predicted <= 0 or measured <= 0:
        return f"{start}: off by {abs(predicted - measured):.3g}{unit}."
    factor = max(predicted, measured) / min(predicted, measured)
    if factor < 1.1:
        return f"{start}: within 10 %."
    return f"{start}: {factor:.2g} times too {'high' if predicted > measured else 'low'}."


class Predict(ipywidgets.VBox):
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

    def __init__(self, question: str, unit: str = "", *, minimum: float = 0.0) -> None:
        self.question = question
        self.unit = unit
        self.minimum = minimum
        self.value: float | None = None
        self.measured: float | None = None
        self.field = ipywidgets.Text(
            placeholder="your number",
            continuous_update=False,  # Enter commits
            layout=ipywidgets.Layout(width="9em"),
            tooltip=f"{question} ({unit})" if unit else question,
        )
        self.answer = ipywidgets.HTML()
        label = ipywidgets.HTML(f"<b>Predict.</b> {escape(question)}")
        row = ipywidgets.HBox([self.field, ipywidgets.Label(unit), self.answer])
        self.field.observe(self._commit, "value")
        super().__init__([label, row])

    def reveal(self, measured: float) -> None:
        """Show a measurement against the prediction, which can then no longer be changed.

        Parameters
        ----------
        measured : float
            In the same unit.
        """
        self.measured = float(measured)
        self.field.disabled = True
        self._say(self.verdict, "info")

    def reset(self) -> None:
        """Ask again."""
        self.value = self.measured = None
        self.field.disabled = False
        self.field.value = ""
        self.answer.value = ""

    @property
    def verdict(self) -> str:
        """The comparison in one sentence; empty before `reveal`."""
        return "" if self.measured is None else compare(self.value, self.measured, self.unit)

    def _commit(self, change: dict[str, Any]) -> None:
        if self.measured is not None:
            return
        text = str(change["new"])
        if not text.strip():
            self.value = None
            self.answer.value = ""
            return
        try:
            self.value = parse_number(text, self.minimum)
        except ValueError as error:
            self.value = None
            self._say(str(error), "error")
        else:
            self._say(f"Noted: {self.value:g} {self.unit}".rstrip() + ". Now run the next cells.", "success")

    def _say(self, text: str, kind: str) -> None:
        color = {
            "error": "--jp-error-color1",
            "success": "--jp-success-color1",
            "info": "--jp-ui-font-color1",
        }
        self.answer.value = f'<span role="status" style="color: var({color[kind]})">{escape(text)}</span>'

    def __repr__(self) -> str:
        return f"Predict({self.question!r}, unit={self.unit!r})"
