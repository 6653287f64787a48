"""Links between notebooks: each leads to a file, and a heading, that exists; each names its neighbours.

A heading's anchor is JupyterLab's: its text, with ``-`` for each blank. JupyterLab compares it with
the link as the browser hands it over (``%E2…``), so a heading with anything but ASCII cannot be linked to.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import nbformat

__all__ = ["anchors", "broken_links", "neighbours_missing", "unanswered"]

_LINK: Final = re.compile(r"\]\(([^()\s]*)\)|href=\"([^\"]*)\"")
_HEADING: Final = re.compile(r"^#{1,6}\s+(.*?)\s*$", re.MULTILINE)
_FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_MARKUP: Final = re.compile(r"[`*]|\]\([^)]*\)|\[")


def anchors(path: Path) -> set[str]:
    """Return what a link to a heading of this notebook may name after the ``#``."""
    titles = [title for text in _prose(path) for title in _HEADING.findall(_FENCED.sub("", text))]
    return {_MARKUP.sub("", title).replace(" ", "-") for title in titles}


def broken_links(path: Path) -> list[str]:
    """Return the links of a notebook to notebooks, or headings, that are not there."""
    found: list[str] = []
    for link in _links(path):
        name, _, anchor = link.partition("#")
        if ":" in name or (name and not name.endswith(".ipynb")):
            continue  # the web, or a file that is no notebook
        target = path.parent / name if name else path
        if not target.is_file():
            found.append(f"{link}: there is no such notebook")
        elif anchor and not anchor.isascii():
            found.append(f"{link}: JupyterLab finds only headings in ASCII")
        elif anchor and anchor not in anchors(target):
            found.append(f"{link}: {target.name} has no such heading")
    return found


def neighbours_missing(paths: list[Path]) -> list[str]:
    """Return the notebooks without a line that links to the one before and the one after."""
    found: list[str] = []
    for place, path in enumerate(paths):
        wanted = {other.name for other in (*paths[max(place - 1, 0) : place], *paths[place + 1 : place + 2])}
        prose = _prose(path)
        lines = [line for text in (prose[0], prose[-1]) for line in text.splitlines()]
        if not any(wanted <= {link.partition("#")[0] for link in _found(line)} for line in lines):
            found.append(f"{path.name} has no line with links to {' and '.join(sorted(wanted))}")
    return found


def unanswered(path: Path, entries: list[str]) -> list[str]:
    """Return the entries without a row, with a link to a notebook, in a notebook's tables."""
    rows = [line for text in _prose(path) for line in text.splitlines() if line.startswith("|")]
    linked = [row.split("|")[1] for row in rows if any(".ipynb" in link for link in _found(row))]
    return [entry for entry in entries if not any(entry in cell for cell in linked)]


def _links(path: Path) -> list[str]:
    return [link for text in _prose(path) for link in _found(text)]


def _found(text: str) -> list[str]:
    return [markdown or html for markdown, html in _LINK.findall(text)]


def _prose(path: Path) -> list[str]:
    notebook: Any = nbformat.read(path, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
