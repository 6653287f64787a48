"""Explains a NameError, for instance after a restart of the kernel: says which cell defines the name."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["install", "names_made", "where_made"]

#: Environment variable in which Jupyter's server gives the kernel the notebook's path.
_NOTEBOOK: Final = "JPY_SESSION_NAME"
_FLAGS: Final = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def where_made(notebook: dict[str, Any], name: str) -> str:
    """Return the first line of the first code cell that defines a name; empty when none does.

    Parameters
    ----------
    notebook : dict
        The notebook's JSON.
    name : str
        A variable, function or imported module.

    Examples
    --------
    >>> cells = [{"cell_type": "code", "source": ["import asyncio\\n", "lab = await Lab.start()"]}]
    >>> where_made({"cells": cells}, "lab")
    'import asyncio'
    """
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and name in names_made(source):
            return source.strip().partition("\n")[0]
    return ""


def names_made(source: str) -> set[str]:
    """Return the names that a cell binds at its top level, so not the local names of functions.

    Examples
    --------
    >>> sorted(names_made("import numpy as np\\nseen = await look()"))
    ['np', 'seen']
    """
    try:
        return set(_bound(compile(source, "<cell>", "exec", _FLAGS)))
    except SyntaxError:  # an IPython magic
        return set()


def _bound(tree: Any) -> Iterator[str]:
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
            continue
        if isinstance(node, (ast.Lambda, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        waiting += ast.iter_child_nodes(node)


def install() -> None:
    """Make this kernel print the explanation below the error; does nothing outside IPython."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return
    shell: Any = get_ipython()
    if shell is not None:

        def explain(result: Any) -> None:
            _explain(result, shell.user_ns.get("In", ()))

        shell.events.register("post_run_cell", explain)


def _explain(result: Any, ran: Sequence[str]) -> None:
    """Print below a NameError which cell defines the name; `ran` is the source of each cell run so far."""
    error = getattr(result, "error_in_exec", None)
    path = Path(os.environ.get(_NOTEBOOK, ""))
    if not isinstance(error, NameError) or not error.name or path.suffix != ".ipynb":
        return
    try:
        line = where_made(json.loads(path.read_text("utf-8")), error.name)
    except (OSError, ValueError, LookupError, TypeError):
        return
    if not line:
        return
    if any(error.name in names_made(source) for source in ran[:-1]):  # the last one is the failed cell
        print(
            f"The cell that begins with `{line}` makes {error.name!r}, and was interrupted before it did, or "
            "failed: run it again, and then this one."
        )
    else:
        print(
            f"The cell that begins with `{line}` makes {error.name!r}, and has not run in this kernel: one "
            "that was restarted has forgotten everything. Run the notebook from its first cell: "
            "in the menu, Run > Run All Above Selected Cell."
        )
