"""One claim as the row of a table: the number found, the expectation, the verdict, and the control."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from rtlab.errors import RtlabError
from rtlab.widgets.verdicts.judge_value import CheckOutcome, ExpectedValue, Interval

__all__ = ["Claim", "EvidenceKind", "Verdict", "html_numbers", "marked", "table"]

EvidenceKind = Literal["measured", "recorded", "model", "simulated", "computed"]
Verdict = Literal["holds", "fails", "undecided", "empty", "blind", "pending"]

_CSS: Final = (Path(__file__).parents[1] / "js" / "verdicts.css").read_text("utf-8")
_SIGNS: Final[dict[Verdict, tuple[str, str]]] = {
    "holds": ("✓", "holds"),
    "fails": ("✗", "does not hold"),
    "undecided": ("✗", "undecided: the interval reaches across the limit"),
    "empty": ("✗", "nothing came that could be compared"),
    "blind": ("✗", "shows nothing: the control did not fail"),
    "pending": ("…", "not run yet"),
}
_OF_CONTROLS: Final[dict[CheckOutcome, str]] = {
    "fails": "✗ fails, as it must",
    "holds": "✓ passes too, and must not",
    "undecided": "? does not clearly fail, and must",
    "empty": "brought no number",
}
_BUSY: Final = (
    "This row judges timing, and the machine may have been busy: close what needs the processor and run the "
    "cell again. RTLAB_PACE=slow, set before JupyterLab starts, makes paced runs longer."
)
_UNSOUND: Final = (
    "No load of the machine explains this: restart the kernel and run the notebook from its top. "
    "If it stays so, run `rtlab doctor` in a terminal."
)

_BLIND: Final = (
    "The same test passed where it had to fail, so it cannot tell: run both again, and see whether what the "
    "control changes took effect."
)


def marked(number: str) -> str:
    """Return a number enclosed in marks, which tell the tests that it may differ from run to run.

    Examples
    --------
    >>> marked("0.72 ms")
    '‹0.72 ms›'
    """
    return f"‹{number}›"


def html_numbers(text: str) -> str:
    """Return text as HTML, with each marked number in a ``span``.

    Examples
    --------
    >>> html_numbers("a < ‹2›")
    'a &lt; <span class="rtlab-number">2</span>'
    """
    return re.sub("‹([^›]*)›", r'<span class="rtlab-number">\1</span>', html.escape(text, quote=False))


class _Found(NamedTuple):
    shown: str
    outcome: CheckOutcome


class Claim:
    """One row of `Verdicts`: made by `Verdicts.claim`, filled in by `found` and `control`.

    Attributes
    ----------
    text : str
        The claim.
    against : ExpectedValue
        The expectation for its number.
    kind : str
        How the number comes about: ``"measured"``, ``"recorded"`` …
    timing : bool
        Whether the outcome depends on the machine's speed and load.
    """

    def __init__(
        self, text: str, against: ExpectedValue, *, control: str, kind: EvidenceKind, timing: bool, hint: str
    ) -> None:
        self.text = text
        self.against = against
        self.kind: EvidenceKind = kind
        self.timing = timing
        self._hint = hint or (_BUSY if timing else _UNSOUND)
        self.control_text = control
        self._found: _Found | None = None
        self._control: _Found | None = None

    def found(
        self, value: Any, *, of: Any = None, n: int | None = None, interval: Interval | None = None
    ) -> Claim:
        """Fill in the number that the run gave; numbers of an earlier run, also the control's, are removed.

        Parameters
        ----------
        value : float, str or sequence
            The number, in the expectation's unit.
        of : float or sequence, optional
            The number to compare it with, if the expectation only names that number.
        n : int, optional
            How many observations `value` is based on.
        interval : (float, float), optional
            Confidence interval of `value`: the claim holds only if the whole interval meets the expectation.

        Returns
        -------
        Claim
            This claim, so that ``.control(…)`` can follow, and a cell that ends here shows the row.
        """
        self._control = None
        self._found = self._judged(value, of, n, interval)
        return self

    def control(
        self, value: Any, *, of: Any = None, n: int | None = None, interval: Interval | None = None
    ) -> Claim:
        """Fill in the number of the control: the same test under a condition where the claim must fail.

        Parameters
        ----------
        value, of, n, interval
            As for `found`.

        Raises
        ------
        RtlabError
            If the claim was made without a control.
        """
        if not self.control_text:
            raise RtlabError(f"say what the control is when you make the claim {self.text!r}: control='…'")
        self._control = self._judged(value, of, n, interval)
        return self

    @property
    def control_outcome(self) -> CheckOutcome | None:
        """The outcome of the control; None before it ran."""
        return None if self._control is None else self._control.outcome

    @property
    def verdict(self) -> Verdict:
        """The verdict: ``"holds"`` only if the control, where there is one, was run and failed."""
        if self._found is None:
            return "pending"
        if self._found.outcome != "holds" or not self.control_text:
            return self._found.outcome
        if self._control is None:
            return "pending"
        return "holds" if self._control.outcome == "fails" else "blind"

    def _judged(self, value: Any, of: Any, n: int | None, interval: Interval | None) -> _Found:
        if interval is not None and interval[0] > interval[1]:  # NaN: no number came
            raise RtlabError(f"expected an interval (low, high), got {interval}")
        outcome = self.against.judge(value, of, interval)
        shown = self.against.show(value, of, interval)
        return _Found(shown if n is None else f"{shown}, n = {n:,}", outcome)

    @property
    def sign(self) -> tuple[str, str]:
        """The verdict as a sign and in words."""
        if self._found is not None and self.verdict == "pending":
            return "…", "the control has not run yet"
        return _SIGNS[self.verdict]

    @property
    def hint(self) -> str:
        """The likely cause, and what to try, if the claim does not hold."""
        if self.verdict != "blind":
            return self._hint
        return f"{_BLIND} {self._hint}" if self.timing else _BLIND

    def lines(self) -> list[str]:
        """Return the row as plain text."""
        sign, words = self.sign
        timing = " (timing)" if self.timing else ""
        found = "" if self._found is None else f"{self.kind} {marked(self._found.shown)}, "
        lines = [f"{sign} {self.text}: {words}", f"    {found}expected {self.against.text}{timing}"]
        if self.control_text:
            lines.append(
                f"    control, {self.control_text}: {' '.join(filter(None, self._control_parts(marked)))}"
            )
        if sign == "✗":
            lines.append(f"    what to try: {self.hint}")
        return lines

    def html_rows(self) -> str:
        """Return the row as a table's body."""
        sign, words = self.sign
        found = "" if self._found is None else f"{self.kind} {_number(self._found.shown)}"
        timing = ' <small title="depends on the machine\'s pace">timing</small>' if self.timing else ""
        rows = (
            f'<tr><th scope="row">{_prose(self.text)}{timing}</th><td>{found}</td>'
            f"<td>{_prose(self.against.text)}</td>"
            f'<td class="rtlab-verdict" data-verdict="{self.verdict}">'
            f'<span aria-hidden="true">{sign}</span> {words}</td></tr>'
        )
        if self.control_text:
            shown, said = self._control_parts(_number)
            rows += (
                f'<tr class="rtlab-control"><th scope="row">control: {_prose(self.control_text)}</th>'
                f"<td>{shown}</td><td>the same</td><td>{said}</td></tr>"
            )
        if sign == "✗":
            rows += (
                f'<tr class="rtlab-hint"><td colspan="4"><b>What to try:</b> {_prose(self.hint)}</td></tr>'
            )
        return f"<tbody>{rows}</tbody>"

    def _control_parts(self, mark: Callable[[str], str]) -> tuple[str, str]:
        if self._control is None:
            return "", "not run yet"
        return mark(self._control.shown), _OF_CONTROLS[self._control.outcome]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": table([self])}


def table(claims: Iterable[Claim], caption: str = "") -> str:
    """Return claims as one HTML table."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("claim", "found", "held against", "verdict"))
    return (
        f'<style>{_CSS}</style><table class="rtlab-verdicts">'
        + (f"<caption>{caption}</caption>" if caption else "")
        + f"<thead><tr>{heads}</tr></thead>{''.join(claim.html_rows() for claim in claims)}</table>"
    )


def _number(text: str) -> str:
    return html_numbers(marked(text))


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
