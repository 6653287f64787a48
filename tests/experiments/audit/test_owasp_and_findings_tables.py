"""The cheat sheet is an index: whatever it points at exists, and what is missing is said."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from rtlab.experiments.audit.check_and_finding_types import Check
from rtlab.experiments.audit.owasp_and_findings_tables import (
    Advice,
    cheat_sheet,
    cheat_sheet_table,
    findings_table,
)

ROWS = cheat_sheet()
TOP = Path(__file__).parents[3]


def test_it_has_thirty_rows_and_more_and_none_twice() -> None:
    assert len({row.advice for row in ROWS}) == len(ROWS) >= 30
    assert "OWASP" in cheat_sheet_table()._repr_html_()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.advice)
def test_every_pointer_exists_or_the_row_says_why_there_is_none(row: Advice) -> None:
    for name in filter(None, (row.attack, row.defence)):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    if row.test:
        path, _, test = row.test.partition("::")
        tree = ast.parse((TOP / path).read_text(encoding="utf-8"))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert test in {node.name for node in tree.body if isinstance(node, functions)}, row.test
    assert row.note or (row.defence and row.test)
    assert bool(row.cell) or not row.attack, "an attack stands in a notebook"
    if row.cell:
        notebook, _, heading = row.cell.partition("#")
        text = (TOP / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
        assert f'## {heading}\\n"' in text, row.cell


def test_audits_stand_side_by_side() -> None:
    check = Check("flood", "medium", "CWE-770", "limit it")
    table = findings_table({"naive": [check.hole("took all")], "right": [check.holds("refused some")]})
    shown = table._repr_html_()
    assert all(text in shown for text in ("HOLE: took all", "holds: refused some", "limit it (CWE-770)"))
