"""A notebook's claims, stated before the run, in one table after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast, get_args

from rtlab.errors import RtlabError
from rtlab.widgets.verdicts.judge_value import ExpectedValue
from rtlab.widgets.verdicts.verdict_row import Claim, EvidenceKind, table

__all__ = ["Verdicts"]


class Verdicts:
    """A notebook's claims, each with its numbers.

    State the claims before the run; fill in the numbers of the run and of the control
    after it. A claim that does not hold is a row that says so, not an error.

    Examples
    --------
    >>> from rtlab.widgets.verdicts import expect
    >>> verdicts = Verdicts()
    >>> quick = verdicts.claim(
    ...     "A push takes less than a millisecond", expect.below(1, "ms"), control="with 5 ms of delay"
    ... )
    >>> quick.found(0.72, n=2000, interval=(0.68, 0.75)).control(5.7)
    ✓ A push takes less than a millisecond: holds
        measured ‹0.72 ms [0.68, 0.75], n = 2,000›, expected below 1 ms
        control, with 5 ms of delay: ‹5.7 ms› ✗ fails, as it must
    """

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    def claim(
        self,
        text: str,
        against: ExpectedValue,
        *,
        control: str = "",
        kind: EvidenceKind = "measured",
        timing: bool = False,
        hint: str = "",
    ) -> Claim:
        """State a claim; it replaces one with the same text, so that a cell can be run again.

        Parameters
        ----------
        text : str
            The claim, a sentence without a full stop; `` `code` `` is shown as such.
        against : ExpectedValue
            The expectation for its number, from `rtlab.widgets.verdicts.expect`: ``expect.below(1, "ms")``.
        control : str
            The condition under which the same test must fail; the claim holds only after the control was
            run, and failed. Empty: no control.
        kind : {"measured", "recorded", "model", "simulated", "computed"}
            How the number comes about.
        timing : bool
            Whether the outcome depends on the machine's speed and load.
        hint : str
            The likely cause, and what to try, if the claim does not hold; empty: a general hint.

        Returns
        -------
        Claim
        """
        if not isinstance(cast("object", against), ExpectedValue):
            raise RtlabError(f"state what the number is held against, like expect.below(1, 'ms'): {text!r}")
        if kind not in get_args(EvidenceKind):
            raise RtlabError(f"expected one of {', '.join(get_args(EvidenceKind))}, got {kind!r}")
        made = Claim(text, against, control=control, kind=kind, timing=timing, hint=hint)
        self._claims[text] = made
        return made

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._claims.values())

    def __len__(self) -> int:
        return len(self._claims)

    @property
    def summary(self) -> str:
        """How many claims hold, in words."""
        held = sum(claim.verdict == "holds" for claim in self)
        pending = sum(claim.verdict == "pending" for claim in self)
        return f"{held} of {len(self)} claims hold" + (f", {pending} not run yet" if pending else "")

    def __repr__(self) -> str:
        return "\n".join([line for claim in self for line in claim.lines()] + [self.summary])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": table(self, self.summary)}
