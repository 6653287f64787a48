"""Notebooks without their outputs: the file as a reader gets it, and a digest that outputs do not change."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

__all__ = ["cells_of", "clean", "source_hash", "source_of"]


def clean(raw: bytes) -> bytes:
    """Return a notebook without outputs; any other file unchanged.

    Parameters
    ----------
    raw : bytes
        Content of the file.
    """
    cells = cells_of(raw)
    if cells is None:
        return raw
    notebook = json.loads(raw)
    notebook.get("metadata", {}).pop("widgets", None)
    for cell in notebook["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def source_hash(raw: bytes) -> str:
    """Return a digest of a notebook's cells without their outputs; of any other file, of its bytes.

    Parameters
    ----------
    raw : bytes
        Content of the file.
    """
    cells = cells_of(raw)
    if cells is not None:
        sources = [(cell.get("cell_type"), source_of(cell).rstrip()) for cell in cells]
        while sources and not sources[-1][1]:
            sources.pop()  # JupyterLab adds an empty cell after running the last one
        raw = json.dumps(sources).encode()
    return hashlib.sha256(raw).hexdigest()


def cells_of(raw: bytes) -> list[dict[str, Any]] | None:
    """Return the cells of a notebook's file; None if it is no notebook, or a cell's source is no text."""
    try:
        cells: Any = json.loads(raw)["cells"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cast("list[Any]", cells)):
        return None
    found = cast("list[dict[str, Any]]", cells)
    return found if all(_is_text(cell.get("source", "")) for cell in found) else None


def _is_text(source: object) -> bool:
    """Return whether a cell's source is one string or a list of lines: nbformat knows no others."""
    lines = cast("list[object]", source) if isinstance(source, list) else [source]
    return all(isinstance(line, str) for line in lines)


def source_of(cell: dict[str, Any]) -> str:
    """Return the source of a cell, which nbformat stores as one string or as a list of lines."""
    source: Any = cell.get("source", "")
    return source if isinstance(source, str) else "".join(cast("list[str]", source))
