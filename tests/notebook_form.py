"""How a notebook tells what it found: a rule each, and the notebooks that are still excused from it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any, Final

from tests.notebook_exercises import exercises, solutions

__all__ = ["EXCUSED", "RULES"]

MAX_CHART_LINES: Final = 8

_BARE: Final = re.compile(r"(?<![=\w'\"“‹`])(?:True|False)(?![\w'\"”›`])")
_COMMENT: Final = re.compile(r"^\s*#\s*(?:NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE)
_DETAILS: Final = re.compile(r"<details>.*?</details>", re.DOTALL)
_CHART_NAMES: Final = {"ax", "axes", "chart", "fig", "figure", "Chart", "dress", "plt"}
_FAILED: Final = re.compile(r'data-verdict="(?!holds|pending)(\w+)"')
_DOUBLED: Final = re.compile(r"\$[^$\n]*\\\\[a-zA-Z][^$\n]*\$")
_SECTION: Final = r"^##\s+{}\b.*?(?=^##\s|\Z)"


def bare_booleans(notebook: Any) -> list[str]:
    """Refuse outputs that print True or False: `Verdicts` shows the numbers behind it."""
    found: list[str] = []
    for cell in _code(notebook):
        for output in cell.outputs:
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            found += [
                f"an output prints a bare boolean: {line.strip()[:60]!r}"
                for line in str(text).splitlines()
                if _BARE.search(line)
            ]
    return found


def comment_marks(notebook: Any) -> list[str]:
    """Refuse nbval's comments: the cell's tag ``nbval-ignore-output`` says the same unseen."""
    return [
        f"{match.group().strip()} must be a cell tag"
        for cell in _code(notebook)
        for match in _COMMENT.finditer(cell.source)
    ]


def chart_plumbing(notebook: Any) -> list[str]:
    """Refuse cells that draw by themselves: what takes more than a few lines belongs into `rtlab.figures`."""
    found: list[str] = []
    for cell in _code(notebook):
        lines = _chart_lines(cell.source)
        if lines > MAX_CHART_LINES:
            found.append(f"{lines} lines of drawing, more than {MAX_CHART_LINES}: {cell.source[:40]!r}")
    return found


def open_answers(notebook: Any) -> list[str]:
    """Demand that interview answers and solutions are folded: each question is a summary."""
    found: list[str] = []
    for name in ("Interview questions", "Exercises"):
        section = _section(notebook, name)
        if not section:
            continue
        if not _DETAILS.search(section):
            found.append(f"nothing is folded under {name!r}")
        rest = _DETAILS.sub("", section)
        if name == "Interview questions":
            answers = re.findall(r"^\s*(?:[-*]|\d+\.)\s.*$|^\*\*.*\?\*\*.*$", rest, re.MULTILINE)
            found += [f"an answer stands open: {line.strip()[:60]!r}" for line in answers]
        elif re.search(r"^\W*(?:hints?|solutions?|answers?)\b", rest, re.MULTILINE | re.IGNORECASE):
            found.append("a hint or a solution stands open")
    return found


def unsolved_exercises(notebook: Any) -> list[str]:
    """Demand a folded solution for each exercise; those in code are run by ``tests/exercises``."""
    solved = set(solutions(notebook))
    return [f"exercise {number} has no solution" for number in exercises(notebook) if number not in solved]


def no_verdicts(notebook: Any) -> list[str]:
    """Demand that claims are rows of `Verdicts`."""
    used = any(re.search(r"\bVerdicts\(", cell.source) for cell in _code(notebook))
    return [] if used else ["no claim is a row of Verdicts"]


def failed_rows(notebook: Any) -> list[str]:
    """Refuse a published row that does not hold: nbval passes over the verdicts on timing."""
    found: list[str] = []
    for cell in _code(notebook):
        for output in cell.outputs:
            shown = "".join(output.get("data", {}).get("text/html", ""))
            found += [
                f"a published row {verdict}: {cell.source[:40]!r}" for verdict in _FAILED.findall(shown)
            ]
    return found


def stale_outputs(notebook: Any) -> list[str]:
    """Demand that the first cell says how to clear the outputs of another machine."""
    opening = notebook.cells[0].source if notebook.cells else ""
    told = "rtlab lab" in opening and re.search(r"clear\b.*\boutputs", opening, re.IGNORECASE | re.DOTALL)
    return [] if told else ["the first cell must say how to clear the outputs, where rtlab lab was not used"]


def broken_formulas(notebook: Any) -> list[str]:
    """Refuse a doubled backslash before a letter in a formula: it shows as a new line and a word."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [f"a doubled backslash in {match!r}" for text in prose for match in _DOUBLED.findall(text)]


def hidden_answers(notebook: Any) -> list[str]:
    """Demand that each answer to a prediction is shown: the last expression is, or what is displayed."""
    found: list[str] = []
    for cell in _code(notebook):
        asked = len(re.findall(r"\.reveal\(", cell.source))
        shown = sum(
            "".join(output.get("data", {}).get("text/html", "")).count('class="rtlab-reveal"')
            for output in cell.outputs
        )
        if shown < asked:
            found.append(f"{asked} answers to predictions, {shown} shown: {cell.source[:40]!r}")
    return found


RULES: Final[dict[str, Callable[[Any], list[str]]]] = {
    rule.__name__: rule
    for rule in (
        bare_booleans,
        comment_marks,
        chart_plumbing,
        open_answers,
        unsolved_exercises,
        no_verdicts,
        failed_rows,
        stale_outputs,
        broken_formulas,
        hidden_answers,
    )
}

_LATER: Final = frozenset[str]()
#: The notebooks that do not keep a rule yet. One that keeps it must be taken out: the lists only shrink.
EXCUSED: Final[dict[str, frozenset[str]]] = {
    "bare_booleans": _LATER,
    "comment_marks": _LATER,
    "chart_plumbing": _LATER,
    "open_answers": _LATER,
    "unsolved_exercises": _LATER,
    "no_verdicts": _LATER,
    "failed_rows": _LATER,
    "stale_outputs": _LATER,
    "broken_formulas": _LATER,
    "hidden_answers": _LATER,
}


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _section(notebook: Any, heading: str) -> str:
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    match = re.search(_SECTION.format(heading), text, re.MULTILINE | re.DOTALL)
    return match.group() if match else ""


def _chart_lines(source: str) -> int:
    """Count the lines of the statements that draw; a loop counts only with the lines in it that do."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(source, "<cell>", "exec", flags)
    except SyntaxError:
        return 0  # a magic
    lines: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or hasattr(node, "body"):
            continue
        if any(isinstance(part, ast.Name) and part.id in _CHART_NAMES for part in ast.walk(node)):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)
