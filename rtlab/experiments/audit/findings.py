"""What one check of an audit came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from rtlab.experiments.websocket_conformance.outcome import Row

__all__ = ["Check", "Finding", "Severity", "holes"]

Severity = Literal["high", "medium", "low"]


class Check(msgspec.Struct, frozen=True):
    """What is looked at, how bad it would be, who says so, and what to do about it.

    Parameters
    ----------
    name : str
        Short.
    severity : {"high", "medium", "low"}
        Of a hole: somebody acts as another or the server ends; somebody is helped to; somebody learns more
        than he must.
    rule : str
        The standard's section, or whose advice it is.
    advice : str
        What to do about a hole.
    """

    name: str
    severity: Severity
    rule: str
    advice: str

    def holds(self, evidence: str) -> Finding:
        """Say that there is no hole."""
        return self._found("holds", evidence)

    def hole(self, evidence: str) -> Finding:
        """Say that there is one."""
        return self._found("hole", evidence)

    def unseen(self, why: str) -> Finding:
        """Say that it could not be looked at, and why."""
        return self._found("not seen", why)

    def judged(self, hole: str, otherwise: str) -> Finding:
        """Say that there is a hole if there is evidence of one."""
        return self.hole(hole) if hole else self.holds(otherwise)

    def judged_rows(self, rows: Sequence[Row]) -> Finding:
        """Say that there is a hole if a row of a conformance table does not hold."""
        wrong = [row for row in rows if not row.holds]
        of = f"of {len(rows)}"
        said = f"{len(wrong)} {of} wrong; not so: “{wrong[0].rule}” ({wrong[0].saw})" if wrong else ""
        return self.judged(said, f"{len(rows)} {of} rows right")

    def _found(self, result: Literal["holds", "hole", "not seen"], evidence: str) -> Finding:
        return Finding(self.name, self.severity, result, evidence, self.rule, self.advice)


class Finding(msgspec.Struct, frozen=True):
    """What a check came to.

    Parameters
    ----------
    check, severity, rule, advice
        As of `Check`.
    result : {"holds", "hole", "not seen"}
        Not seen: without credentials the server does not let anybody come so far.
    evidence : str
        What the server did.
    """

    check: str
    severity: Severity
    result: Literal["holds", "hole", "not seen"]
    evidence: str
    rule: str
    advice: str


def holes(findings: Sequence[Finding]) -> list[str]:
    """Return the names of the checks that found a hole.

    Examples
    --------
    >>> check = Check("flood", "medium", "OWASP", "limit it")
    >>> holes([check.hole("took 2,000"), check.holds("refused")])
    ['flood']
    """
    return [finding.check for finding in findings if finding.result == "hole"]
