"""Tables for a notebook: the findings of audits, and OWASP's cheat sheet as an index to this package."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import NamedTuple

from rtlab.experiments.audit.check_and_finding_types import Finding
from rtlab.resources import data_path
from rtlab.widgets.verdicts.plain_table import PlainTable

__all__ = ["Advice", "cheat_sheet", "cheat_sheet_table", "findings_table"]


class Advice(NamedTuple):
    """One recommendation of OWASP's WebSocket Security Cheat Sheet, paraphrased.

    Parameters
    ----------
    section, advice : str
        The section of the cheat sheet, and what it recommends.
    attack, defence : str
        Dotted names of the function that attacks and of the code that stops it; empty if there is none.
    test : str
        The test of the defence, ``path::name``; empty if there is none.
    cell : str
        ``notebook#heading`` of the notebook section that shows the attack; empty if no notebook does.
    note : str
        Why something is missing, or where this package deviates from the recommendation.
    """

    section: str
    advice: str
    attack: str
    defence: str
    test: str
    cell: str
    note: str


def cheat_sheet() -> list[Advice]:
    """Return the rows of ``data/owasp_websocket.csv``."""
    with data_path("owasp_websocket.csv").open(encoding="utf-8", newline="") as file:
        return [Advice(**row) for row in csv.DictReader(file)]


def cheat_sheet_table() -> PlainTable:
    """Return the cheat sheet as a table, with only the last part of each dotted name."""
    rows = [
        (
            row.section,
            row.advice,
            *map(_short, (row.attack, row.defence, row.test)),
            _place(row.cell),
            row.note,
        )
        for row in cheat_sheet()
    ]
    heads = ("section", "advice", "attack", "defence", "test", "see", "note")
    return PlainTable(heads, rows, "OWASP's WebSocket Security Cheat Sheet, as an index")


def findings_table(found: dict[str, Sequence[Finding]]) -> PlainTable:
    """Return the findings of several audits side by side, with the advice for each check.

    Parameters
    ----------
    found : dict
        Name of the audited server → its findings, in the same order of checks for all.
    """
    rows = [
        (same[0].check, same[0].severity, *map(_said, same), f"{same[0].advice} ({same[0].rule})")
        for same in zip(*found.values(), strict=True)
    ]
    return PlainTable(("check", "severity", *found, "what to do"), rows, "What a stranger finds")


def _said(finding: Finding) -> str:
    return f"{finding.result.upper() if finding.result == 'hole' else finding.result}: {finding.evidence}"


def _place(cell: str) -> str:
    """Return the number of the notebook, and the heading of the section."""
    notebook, _, heading = cell.partition("#")
    return f"{notebook.partition('_')[0]}: {heading}" if heading else "–"


def _short(pointer: str) -> str:
    """Return the last part of a name; zero-width spaces let a narrow column break it at underscores."""
    return pointer.rpartition("::")[2].rpartition(".")[2].replace("_", "_\u200b") or "–"
