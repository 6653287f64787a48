from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from rtlab.errors import RtlabError
from rtlab.widgets.verdicts import expect
from rtlab.widgets.verdicts.verdict_row import Claim
from rtlab.widgets.verdicts.verdict_table import Verdicts

ROOT = Path(__file__).resolve().parents[3]


def claim(**options: Any) -> Claim:
    return Verdicts().claim("a push is quick", expect.below(1, "ms"), **options)


@pytest.mark.parametrize(
    ("value", "control", "verdict", "words"),
    [
        (0.7, 5, "holds", "holds"),
        (2, 5, "fails", "does not hold"),
        (0.7, 0.8, "blind", "the control did not fail"),
        (0.7, float("nan"), "blind", "the control did not fail"),
        (float("nan"), 5, "empty", "nothing came"),
        (0.7, None, "pending", "control has not run yet"),
        (None, None, "pending", "not run yet"),
    ],
)
def test_a_row_holds_only_if_its_control_fails(
    value: float | None, control: float | None, verdict: str, words: str
):
    row = claim(control="with 5 ms of delay")
    if value is not None:
        row.found(value)
    if control is not None:
        row.control(control)
    assert row.verdict == verdict
    assert words in repr(row)
    assert words in row._repr_mimebundle_()["text/html"]
    assert ("what to try" in repr(row)) == (verdict not in ("holds", "pending"))


def test_an_interval_across_the_limit_decides_nothing():
    assert claim().found(0.7, interval=(0.5, 1.1)).verdict == "undecided"
    row = claim(control="later").found(0.7).control(1.2, interval=(0.9, 1.5))
    assert row.verdict == "blind"


def test_an_interval_of_no_number_says_that_nothing_came():
    nan = float("nan")
    assert claim().found(nan, interval=(nan, nan)).verdict == "empty"
    assert claim().found(0.5, interval=(nan, nan)).verdict == "empty"
    assert "[" not in repr(claim().found(nan, interval=(nan, nan)))


def test_the_text_shows_numbers_between_marks_and_says_what_it_is():
    row = (
        claim(timing=True, control="with 5 ms of delay").found(0.72, n=2000, interval=(0.6, 0.8)).control(5.7)
    )
    assert repr(row).splitlines() == [
        "✓ a push is quick: holds",
        "    measured ‹0.72 ms [0.6, 0.8], n = 2,000›, expected below 1 ms (timing)",
        "    control, with 5 ms of delay: ‹5.7 ms› ✗ fails, as it must",
    ]
    assert "simulated ‹2 ms›" in repr(claim(kind="simulated").found(2))


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"hint": "unplug the kettle"}, "kettle"), ({"timing": True}, "busy"), ({}, "restart the kernel")],
)
def test_a_row_that_does_not_hold_says_what_to_try(options: dict[str, Any], hint: str):
    row = claim(**options).found(3)
    assert hint in repr(row)
    assert hint in row._repr_mimebundle_()["text/html"]


def test_a_blind_row_speaks_of_its_control():
    assert "cannot tell" in repr(claim(control="late", hint="rest").found(0.5).control(0.5))


def test_a_blind_row_that_judges_timing_speaks_of_the_load_too():
    row = claim(control="late", timing=True).found(0.5).control(0.5)
    assert "cannot tell" in repr(row)
    assert "busy" in repr(row)


def test_a_second_run_forgets_the_first():
    row = claim(control="later").found(0.7).control(5)
    assert row.found(0.8).verdict == "pending"
    verdicts = Verdicts()
    for _ in range(2):
        again = verdicts.claim("one", expect.below(1))
        verdicts.claim("two", expect.below(1)).found(0.5)
    assert [(row.text, row.verdict) for row in verdicts] == [("one", "pending"), ("two", "holds")]
    assert again is next(iter(verdicts))
    assert verdicts.summary == "1 of 2 claims hold, 1 not run yet"


def table(verdicts: Verdicts | Claim) -> ElementTree.Element:
    text = verdicts._repr_mimebundle_()["text/html"]
    return ElementTree.fromstring(re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))


def test_the_table_is_one_to_a_screen_reader():
    verdicts = Verdicts()
    verdicts.claim("`a < b` & more", expect.below(1, "ms"), control="late").found(0.5).control(3)
    verdicts.claim("a stream", expect.each_once()).found([0], of=2)
    top = table(verdicts)
    assert top.findtext("caption") == "1 of 2 claims hold"
    assert [head.get("scope") for head in top.findall("thead/tr/th")] == ["col"] * 4
    assert {head.get("scope") for head in top.findall("tbody/tr/th")} == {"row"}
    assert top.findtext("tbody/tr/th/code") == "a < b"
    signs = [cell.find("span") for cell in top.findall("tbody/tr/td[@class='rtlab-verdict']")]
    assert [(sign.text, sign.get("aria-hidden"), sign.tail) for sign in signs if sign is not None] == [
        ("✓", "true", " holds"),
        ("✗", "true", " does not hold"),
    ]
    # Every number stands between marks that the tests pass over.
    shown = [span.text for span in top.iter("span") if span.get("class") == "rtlab-number"]
    assert shown == ["0.5 ms", "3 ms", "1 of 2, 0 repeats, 0 out of order"]


def test_a_mistake_is_answered_with_what_to_write():
    with pytest.raises(RtlabError, match=r"expect\.below"):
        Verdicts().claim("x", 3)  # type: ignore[arg-type]
    with pytest.raises(RtlabError, match="measured, recorded, model"):
        claim(kind="guessed")
    with pytest.raises(RtlabError, match="control='…'"):
        claim().control(3)
    with pytest.raises(RtlabError, match="interval"):
        claim().found(3, interval=(4, 2))


CELLS = """\
from rtlab import Verdicts, expect
verdicts = Verdicts()
quick = verdicts.claim("a push is quick", expect.below(1, "ms"), control="late")
quick.found(0.7, n=20, interval=(0.6, 0.8)).control(5)
soon = verdicts.claim("it is soon: there", expect.below(1, "s"), control="late", timing=True)
soon.found(0.5).control(4)
print("in the median ‹0.7 ms›")
verdicts
"""

# What is changed in the cell after its output was stored, and whether nbval then passes.
CHANGES = [
    ((), True),
    (("0.7, n=20, interval=(0.6, 0.8)", "0.123, n=7"), True),
    (("found(0.5)", "found(1.5)"), True),
    (("found(0.5).control(4)", "found([]).control(0.5)"), True),
    (("‹0.7 ms›", "‹12 s›"), True),
    (('control="late")', 'control="late", kind="recorded")'), True),
    (('control="late")', 'control="late", kind="computed")'), False),
    (("a push is quick", "a push is slow"), False),
    (("found(0.7, n=20, interval=(0.6, 0.8))", "found(1.7)"), False),
    (("control(5)", "control(0.5)"), False),
    (("below(1,", "below(2,"), False),
    (("‹0.7 ms›", "0.8 ms"), False),
    ((".control(4)", ""), False),
    (('below(1, "s")', 'below(2, "s")'), False),
    (("it is soon", "it is late"), False),
]


@pytest.fixture(scope="module")
def differing(tmp_path_factory: pytest.TempPathFactory) -> set[int]:
    """The cells in which nbval finds a difference: one cell for each of `CHANGES`."""
    notebook = new_notebook(cells=[new_code_cell(CELLS) for _ in CHANGES])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    for cell, (change, _) in zip(notebook.cells, CHANGES, strict=True):
        cell.source = cell.source.replace(*change) if change else cell.source
    failing = sum(not passes for _, passes in CHANGES)
    path = tmp_path_factory.mktemp("claims") / "claims.ipynb"
    nbformat.write(notebook, path)
    options = ["-p", "nbval.plugin", "-n0", "-q", f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    counts = f"{failing} failed, {len(CHANGES) - failing} passed"
    assert re.search(rf"\b{counts}", done.stdout), done.stdout + done.stderr
    assert done.stdout.count("Cell outputs differ") >= failing, done.stdout
    return {int(number) for number in re.findall(r"^FAILED .*::Cell (\d+)", done.stdout, re.MULTILINE)}


@pytest.mark.parametrize(("cell", "change", "passes"), [(n, *row) for n, row in enumerate(CHANGES)])
def test_nbval_passes_over_numbers_and_verdicts_on_timing_and_over_nothing_else(
    differing: set[int], cell: int, change: tuple[str, str], passes: bool
):
    assert (cell not in differing) == passes
