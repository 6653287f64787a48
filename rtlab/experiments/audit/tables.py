"""Tables for a notebook: what an audit found, and OWASP's cheat sheet as an index of what is here."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import NamedTuple

from rtlab.experiments.audit.findings import Finding
from rtlab.resources import data_path
from rtlab.widgets.plain_table import PlainTable

__all__ = ["Advice", "cheat_sheet", "cheat_sheet_table", "findings_table"]


class Advice(NamedTuple):
    """One advice of OWASP's WebSocket Security Cheat Sheet, in our words.

    Parameters
    ----------
    section, advice : str
        Where it stands, and what it says.
    attack, defence : str
        The function that attacks, and what stops it, as dotted names; empty where there is none.
    test : str
        ``path::name``; empty where there is none.
    cell : str
        ``notebook#heading`` under which it is tried before the reader's eyes; empty where it is not.
    note : str
        Why there is none, or where ours differs.
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
    """Return the sheet as a table; the last parts of names, as they are long."""
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
    """Return what several audits found, side by side, and what to do.

    Parameters
    ----------
    found : dict
        What was audited → its findings, in one order.
    """
    rows = [
        (same[0].check, same[0].severity, *map(_said, same), f"{same[0].advice} ({same[0].rule})")
        for same in zip(*found.values(), strict=True)
    ]
    return PlainTable(("check", "severity", *found, "what to do"), rows, "What a stranger finds")


def _said(finding: Finding) -> str:
    return f"{finding.result.upper() if finding.result == 'hole' else finding.result}: {finding.evidence}"


def _place(cell: str) -> str:
    """Return the number of a notebook and the heading in it."""
    notebook, _, heading = cell.partition("#")
    return f"{notebook.partition('_')[0]}: {heading}" if heading else "–"


def _short(pointer: str) -> str:
    """Return the last part of a name, which may be broken at its low lines: seven columns are many."""
    return pointer.rpartition("::")[2].rpartition(".")[2].replace("_", "_\u200b") or "–"
