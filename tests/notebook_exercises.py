"""Exercises and their solutions, read from a notebook, so that what a reader unfolds is what the tests run.

An exercise is a numbered item under "Exercises". Its solution is folded in the same section,
under ``<summary>Solution 2</summary>``: words, or a block of Python, which
``tests/exercises/test_NN.py`` runs with `run`, and whose hint it asserts.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any, Final

import nbformat

__all__ = ["exercises", "run", "solutions"]

NOTEBOOKS: Final = Path(__file__).resolve().parent.parent / "notebooks"

_SECTION: Final = re.compile(r"^##\s+Exercises\b.*?(?=^##\s|\Z)", re.MULTILINE | re.DOTALL)
_DETAILS: Final = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
_CODE: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)


def exercises(notebook: Any) -> list[int]:
    """Return the numbers of a notebook's exercises."""
    return [int(n) for n in re.findall(r"^(\d+)\.\s", _DETAILS.sub("", _section(notebook)), re.MULTILINE)]


def solutions(notebook: Any) -> dict[int, str]:
    """Return number → code of the folded solutions; empty for one in words."""
    found: dict[int, str] = {}
    for summary, body in _DETAILS.findall(_section(notebook)):
        if match := re.match(r"Solution (\d+)\b", summary.strip()):
            code = _CODE.search(body)
            found[int(match[1])] = textwrap.dedent(code[1]) if code else ""
    return found


async def run(name: str, number: int, **names: Any) -> dict[str, Any]:
    """Run a solution as the notebook's reader would.

    Parameters
    ----------
    name : str
        The notebook's, like ``"00_start_here"``.
    number : int
        The exercise's.
    **names
        What earlier cells have defined: imported names, a lab.

    Returns
    -------
    dict
        All names after the run.
    """
    code = solutions(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))[number]
    assert code, f"solution {number} of {name} is in words"
    compiled = compile(code, f"<solution {number} of {name}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(compiled, names)
    if inspect.isawaitable(made):
        await made
    return names


def _section(notebook: Any) -> str:
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    match = _SECTION.search(text)
    return match.group() if match else ""
