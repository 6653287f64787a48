"""Runs notebooks and saves them the way they are committed: ``python -m tests.refresh_notebooks [NAME…]``.

Each runs in a fresh kernel, in its own folder. What a git host cannot show, widget
views, is dropped; the static figures stand there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

from tests.notebook_rules import problems

NOTEBOOKS: Final = Path(__file__).resolve().parent.parent / "notebooks"
CELL_TIMEOUT: Final = 120


def clean(notebook: Any) -> Any:
    """Drop widget views, timings of cells and other traces of this one run."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    notebook.metadata["language_info"] = {"name": "python", "file_extension": ".py"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [
            output
            for output in cell.outputs
            if not any("widget-view" in kind for kind in output.get("data", ()))
        ]
    return notebook


def refresh(path: Path) -> list[str]:
    """Run one notebook, save it cleaned, and return what is wrong with it."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    nbformat.write(clean(notebook), path)
    return problems(path)


def main() -> int:
    """Refresh the named notebooks, or all."""
    parser = argparse.ArgumentParser(prog="tests.refresh_notebooks")
    parser.add_argument("names", nargs="*", help="like 02_websocket; all if left out")
    known = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    names = [Path(name).stem for name in parser.parse_args().names] or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no such notebook: {', '.join(unknown)}; there are {', '.join(known)}")
    wrong = 0
    for name in names:
        found = refresh(known[name])
        wrong += len(found)
        print(name, "ok" if not found else "", *found, sep="\n  " if found else " ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
