"""The reader commits to a number before the run, and sees it against the measurement after."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import Any, Final, cast

import anywidget
import traitlets

from rtlab.errors import RtlabError
from rtlab.figures.chart_style.labels import readable
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.verdicts.format_number_with_unit import quantity
from rtlab.widgets.verdicts.parse_typed_number import parse_number
from rtlab.widgets.verdicts.verdict_row import EvidenceKind, html_numbers, marked

__all__ = ["Predict", "Reveal", "compare_prediction"]

#: Removes the marks of numbers. The box needs none: no test compares it with a published output.
_UNMARKED: Final = str.maketrans("", "", "‹›")
#: Longest text that is taken from the page, in characters; js/predict.js accepts no more.
_LONGEST: Final = 100

#: Wording of the sentence for each origin of a number.
_KINDS: Final[dict[EvidenceKind, str]] = {
    "measured": "measured was",
    "model": "the model says",
    "simulated": "simulated was",
    "computed": "computed was",
}


def compare_prediction(
    predicted: float | None, found: float, unit: str = "", kind: EvidenceKind = "measured"
) -> str:
    """Say in one sentence how far off a prediction is.

    Parameters
    ----------
    predicted : float or None
        The reader's number; None if the reader made no prediction.
    found : float
        The number to compare it with.
    unit : str
        Unit of both numbers.
    kind : {"measured", "model", "simulated", "computed"}
        How `found` came about.

    Examples
    --------
    >>> compare_prediction(5, 0.5, "ms")
    'You predicted ‹5 ms›, measured was ‹0.5 ms›: ‹10 times too high›.'
    """
    said = f"{_KINDS[kind]} {marked(quantity(found, unit))}"
    if math.isnan(found):
        return "No number came, so there is nothing to compare."
    if predicted is None:
        return f"{said[0].upper()}{said[1:]}; you made no prediction."
    start = f"You predicted {marked(quantity(predicted, unit))}, {said}"
    if predicted == found:
        return f"{start}: {marked('exact')}."
    if predicted <= 0 or found <= 0 or math.isinf(found):
        return f"{start}: {marked(f'off by {quantity(abs(predicted - found), unit)}')}."
    factor = max(predicted, found) / min(predicted, found)
    if factor < 1.1:
        return f"{start}: {marked('within 10 %')}."
    factor = float(f"{factor:.3g}")
    direction = "high" if predicted > found else "low"
    return f"{start}: {marked(f'{readable(factor)} times too {direction}')}."


class Reveal:
    """What `Predict.reveal` returns: the comparison, for the cell that it ran in."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence

    def __repr__(self) -> str:
        return self._sentence

    def _repr_html_(self) -> str:
        return f'<p class="rtlab-reveal"><b>Your prediction.</b> {html_numbers(self._sentence)}</p>'


class Predict(anywidget.AnyWidget):
    """A question that is answered with a number before the run.

    Parameters
    ----------
    question : str
        What to predict.
    unit : str
        The unit of the answer.
    minimum, maximum : float
        The smallest and the largest answer that are accepted.

    Notes
    -----
    Enter, or leaving the field, commits the number. Without a browser nothing is
    printed and nothing waits.

    Examples
    --------
    In one cell, and after the run, as the last line of another, which shows the sentence::

        guess = Predict("How long does an echo take on this machine?", unit="ms")
        guess

        guess.reveal(recorder.percentiles("echo")[50])
        guess_on_paper.reveal(1 / 3, kind="model")
    """

    _esm = page_files("kernel_liveness.js", "predict.js")
    _css = page_files("predict.css")

    question = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    typed = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    tone = traitlets.Enum(("quiet", "good", "bad"), "quiet").tag(sync=True)
    locked = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, question: str, unit: str = "", *, minimum: float = 0.0, maximum: float = math.inf
    ) -> None:
        super().__init__(question=question, unit=unit)
        self.minimum, self.maximum = minimum, maximum
        self.value: float | None = None
        self.found: float | None = None
        self._kind: EvidenceKind = "measured"
        self._on_loop = LoopCallback()
        self.on_msg(self._receive)

    def reveal(self, found: float, kind: EvidenceKind = "measured") -> Reveal:
        """Compare the prediction with a number; the prediction can then no longer be changed.

        Parameters
        ----------
        found : float
            The number, in the unit of the answer.
        kind : {"measured", "model", "simulated", "computed"}
            How `found` came about.

        Returns
        -------
        Reveal
            The comparison in words. As the last line of a cell, or in ``display``, it is
            shown below that cell; the question's own box shows the same.
        """
        if kind not in _KINDS:
            raise RtlabError(f"expected one of {', '.join(_KINDS)}, got {kind!r}")
        self.found = float(found)
        self._kind = kind
        self.locked = True
        self._say(self.verdict.translate(_UNMARKED), "quiet")
        return Reveal(self.verdict)

    def reset(self) -> None:
        """Clear the answer, and ask again."""
        self.value = self.found = None
        self.locked = False
        self.typed = ""
        self._say("", "quiet")

    @property
    def verdict(self) -> str:
        """The comparison in one sentence; empty before `reveal`."""
        return "" if self.found is None else compare_prediction(self.value, self.found, self.unit, self._kind)

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
            self.value = parse_number(text, self.minimum, self.unit, maximum=self.maximum)
        except ValueError as error:
            self._say(str(error), "bad")
        else:
            self._say(f"Noted: {quantity(self.value, self.unit)}. Now run the next cells.", "good")

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        text = cast("dict[str, Any]", content).get("commit") if isinstance(content, dict) else None
        if isinstance(text, str):
            # A lone surrogate, which JSON may hold, has no UTF-8 (RFC 3629 §3): it could not be sent back.
            self._on_loop(self._take, text[:_LONGEST].encode("utf-8", "replace").decode())

    def _take(self, text: str) -> None:
        """Take a text from the page, and tell the page so: the text may change none of the traits."""
        self.commit(text)
        self.send({"kind": "answer"})

    def _say(self, text: str, tone: str) -> None:
        self.answer = text
        self.tone = tone

    def __repr__(self) -> str:
        return f"Predict({self.question!r}, unit={self.unit!r})"
