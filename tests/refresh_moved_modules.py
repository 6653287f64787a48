"""Writes where modules that notebooks imported have gone: ``python -m tests.refresh_moved_modules``.

Read from git: the renames in ``rtlab/``, for modules that a notebook has ever imported. Of a module that was
divided, the part that defines most of what notebooks imported from it.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = ROOT / "rtlab" / "notebook" / "moved_modules.json"


def git(*arguments: str) -> str:
    """Return what a git command prints."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def dotted(path: str) -> str:
    """Return a file's name as it is imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def defines(module: str) -> set[str]:
    """Return the names that a module of rtlab offers in ``__all__``."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        path = path.with_suffix("") / "__init__.py"
    for statement in ast.parse(path.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return {node.value for node in ast.walk(statement.value) if isinstance(node, ast.Constant)}
    return set()


def moved() -> dict[str, str]:
    """Return old dotted name → new."""
    log = git("log", "--reverse", "--format=", "--diff-filter=R", "--name-status", "-M", "--", "rtlab")
    renames = [line.split("\t")[1:] for line in log.splitlines() if line.endswith(".py")]
    now: dict[str, str] = {}
    for old, new in ((dotted(old), dotted(new)) for old, new in renames):
        now = {name: new if place == old else place for name, place in now.items()}
        now[old] = new
    there = {dotted(path.relative_to(ROOT).as_posix()) for path in (ROOT / "rtlab").rglob("*.py")}
    diffs = git("log", "-p", "--format=", "--", "notebooks")
    imported: dict[str, set[str]] = defaultdict(set)
    for module, names in re.findall(r"(?:from|import) (rtlab(?:\.\w+)+)(?: import ([\w, ]+))?", diffs):
        offered = set(re.findall(r"\w+", re.sub(r" as \w+", "", names)))
        imported[module] |= offered
        for name in offered:  # it may be a module
            imported[f"{module}.{name}"] |= set()
    homes = {module: defines(module) for module in sorted(there)}

    def home(old: str, new: str) -> str:
        return max((new, *homes), key=lambda module: (len(homes[module] & imported[old]), module == new))

    return {
        old: home(old, new)
        for old, new in sorted(now.items())
        if old in imported and old not in there and new in there
    }


if __name__ == "__main__":
    TABLE.write_text(json.dumps(moved(), indent=1) + "\n", encoding="utf-8")
    print(f"{TABLE.relative_to(ROOT)}: {len(moved())} modules")
