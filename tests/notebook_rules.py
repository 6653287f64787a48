"""What every committed notebook must keep to. nbval alone shows none of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import nbformat

__all__ = ["MAP", "SKELETON", "minutes_of", "problems", "rows_missing"]

MAX_BYTES: Final = 600_000
MAX_CELL_LINES: Final = 40
#: The first notebook is a map of the others, without an experiment of its own to explain.
MAP: Final = "00_start_here.ipynb"
SKELETON: Final = (
    "Goal",
    "Predict",
    "Run",
    "Explain",
    "Without rtlab",
    "Break it",
    "Summary",
    "Exercises",
    "Interview questions",
)

_NAME: Final = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")
_HEADING: Final = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,}\b")
_PORT: Final = re.compile(r"(?:127\.0\.0\.1|localhost):\d+")
_WIDGET_REPR: Final = re.compile(r"\w+\([^)]*layout=Layout\(")
_OUTSIDE: Final = re.compile(r"<script[^>]+src=|https?://(?:cdn|unpkg)\b")


def problems(path: Path) -> list[str]:
    """Return what is wrong with a notebook, as sentences."""
    found: list[str] = []
    if not _NAME.fullmatch(path.name):
        found.append(f"the name {path.name} is not of the form NN_topic.ipynb")
    if path.stat().st_size > MAX_BYTES:
        found.append(f"the file takes {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
    try:
        notebook: Any = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
    except Exception as error:
        return [*found, f"not a valid notebook: {str(error).splitlines()[0]}"]
    if notebook.nbformat != 4:
        return [*found, f"notebook format {notebook.nbformat}, expected 4"]
    if "widgets" in notebook.metadata:
        found.append("metadata.widgets must not be committed: git hosts cannot show it")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("the kernelspec must be python3")

    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if None in counts:
        found.append("a code cell was never executed: nbval would not compare it")
    elif counts != list(range(1, len(counts) + 1)):
        found.append(f"the cells were not executed once, in order, from a fresh kernel: {counts}")
    for cell in code:
        lines = len(cell.source.splitlines())
        if lines > MAX_CELL_LINES:
            found.append(f"a code cell has {lines} lines, more than {MAX_CELL_LINES}: {cell.source[:40]!r}")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found += _cell_problems(cell)
    return found + _text_problems(path.name, notebook, code)


def _cell_problems(cell: Any) -> list[str]:
    found: list[str] = []
    if "NBVAL_SKIP" in cell.source or "skip-execution" in cell.metadata.get("tags", ()):
        found.append(f"a cell is never run: {cell.source[:40]!r}")
    if not cell.source.strip() and cell.outputs:
        found.append("an empty cell has outputs")
    for output in cell.outputs:
        if output.output_type == "error":
            found.append(f"a cell ended with {output.ename}: {output.evalue[:60]}")
        texts = [str(output.get("text", ""))]
        for kind, data in output.get("data", {}).items():
            if "widget-view" in kind:
                found.append(
                    "an output is a widget view, which shows as nothing on a git host: show the figure"
                )
            if kind.startswith("text/") or kind == "image/svg+xml":
                texts.append("".join(data) if isinstance(data, list) else str(data))
        for text in texts:
            for pattern, what in (
                (_ADDRESS, "a memory address"),
                (_PORT, "a port, which differs on every run"),
                (_WIDGET_REPR, "a widget's bare repr"),
                (_OUTSIDE, "a script from outside"),
            ):
                if match := pattern.search(text):
                    found.append(f"an output holds {what}: {match.group()[:60]!r}")
    return found


def _text_problems(name: str, notebook: Any, code: list[Any]) -> list[str]:
    found: list[str] = []
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    if not prose or notebook.cells[0].cell_type != "markdown" or not prose[0].lstrip().startswith("# "):
        return ["the first cell must be a markdown title"]
    opening = prose[0].lower()
    found += [f"the first cell must state the {x}" for x in ("minutes", "prerequisites") if x not in opening]
    if name != MAP:
        found += _skeleton_problems([title for text in prose for title in _HEADING.findall(text)])
    if any(re.search(r"\bLab\b", cell.source) for cell in code):
        last = code[-1].source
        if not re.search(r"\.(stop|reset)\(\)", last):
            found.append("the last code cell must reset or stop the lab")
    return found


def _skeleton_problems(headings: list[str]) -> list[str]:
    """Every heading of the skeleton must start one of the notebook's, in this order."""
    places: list[int] = []
    missing: list[str] = []
    for wanted in SKELETON:
        at = [i for i, heading in enumerate(headings) if heading.lower().startswith(wanted.lower())]
        if at:
            places.append(at[0])
        else:
            missing.append(wanted)
    found = [f"the skeleton's heading {wanted!r} is missing" for wanted in missing]
    if places != sorted(places):
        found.append(f"the skeleton's headings are out of order: expected {', '.join(SKELETON)}")
    return found


def rows_missing(readme: str, minutes: dict[str, str]) -> list[str]:
    """Return the notebooks without a row, or with other minutes than theirs, in the README's table."""
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    return [
        name
        for name, stated in minutes.items()
        if not any(f"(notebooks/{name})" in row and row.endswith(f"| {stated} |") for row in rows)
    ]


def minutes_of(path: Path) -> str:
    """Return the minutes that a notebook states, or ``"?"``."""
    notebook: Any = nbformat.read(path, as_version=4)
    match = re.search(r"(\d+) minutes", notebook.cells[0].source if notebook.cells else "")
    return match.group(1) if match else "?"
