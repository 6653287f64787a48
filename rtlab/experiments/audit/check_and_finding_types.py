"""A check of an audit, and the finding that results from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from rtlab.experiments.websocket_conformance.outcome import ScoreboardRow

__all__ = ["Check", "Finding", "Severity", "holes"]

Severity = Literal["high", "medium", "low"]


class Check(msgspec.Struct, frozen=True):
    """One check: what it tests, how severe a hole would be, the rule behind it, and how to fix a hole.

    Parameters
    ----------
    name : str
        A short name of what is checked.
    severity : {"high", "medium", "low"}
        How severe a hole is. High: it lets an attacker act as another user or stop the server.
        Medium: it helps to do so. Low: it reveals more than necessary.
    rule : str
        The section of the standard, or the source of the advice.
    advice : str
        How to close a hole.
    """

    name: str
    severity: Severity
    rule: str
    advice: str

    def holds(self, evidence: str) -> Finding:
        """Return the finding that there is no hole."""
        return self._found("holds", evidence)

    def hole(self, evidence: str) -> Finding:
        """Return the finding that there is a hole."""
        return self._found("hole", evidence)

    def unseen(self, why: str) -> Finding:
        """Return the finding that the check could not be made, and why."""
        return self._found("not seen", why)

    def judged(self, hole: str, otherwise: str) -> Finding:
        """Return a hole with the evidence `hole`; if that is empty, no hole with evidence `otherwise`."""
        return self.hole(hole) if hole else self.holds(otherwise)

    def judged_rows(self, rows: Sequence[ScoreboardRow]) -> Finding:
        """Return a hole if a row of a conformance table does not hold; otherwise no hole."""
        wrong = [row for row in rows if not row.holds]
        of = f"of {len(rows)}"
        said = f"{len(wrong)} {of} wrong; not so: “{wrong[0].rule}” ({wrong[0].saw})" if wrong else ""
        return self.judged(said, f"{len(rows)} {of} rows right")

    def _found(self, result: Literal["holds", "hole", "not seen"], evidence: str) -> Finding:
        return Finding(self.name, self.severity, result, evidence, self.rule, self.advice)


class Finding(msgspec.Struct, frozen=True):
    """The result of a check.

    Parameters
    ----------
    check, severity, rule, advice
        As in `Check`; `check` is its name.
    result : {"holds", "hole", "not seen"}
        Not seen: the check could not be made, for instance because the server requires credentials.
    evidence : str
        What the server did, or why the check could not be made.
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
