"""What a measurement's refusal of a busy machine excuses in the cells after it, and nothing more."""

from __future__ import annotations

import ast
import re
from typing import Final

from rtlab.notebook.missing_names import names_made

__all__ = ["Refusals", "names_read"]

_BUSY: Final = "MachineBusy"
_MISSING: Final = re.compile(r"name '(\w+)' is not defined")
#: How a notebook's own guard ends, which looks whether a name holds what was measured.
_GUARD: Final = "RtlabError"
_AGAIN: Final = re.compile(r"\bagain\b")


class Refusals:
    """Told of each cell in the order in which they ran, it knows which names a refusal left unmade."""

    def __init__(self) -> None:
        self._unmade: set[str] = set()

    def excuse(self, source: str, error: str, message: str) -> bool:
        """Say whether a cell ended as it did because the machine was busy.

        That is where the measurement itself refused; where a name is missing that a refused cell, or
        one that failed for want of its names, would have made; or where a guard of the cell, which
        reads such a name, asks for that cell again.
        """
        missing = _MISSING.match(message) if error == "NameError" else None
        guarded = error == _GUARD and _AGAIN.search(message) is not None
        excused = (
            error == _BUSY
            or (missing is not None and missing[1] in self._unmade)
            or (guarded and not self._unmade.isdisjoint(names_read(source)))
        )
        if excused:
            self._unmade |= names_made(source)
        elif not error:
            self._unmade -= names_made(source)
        return excused


def names_read(source: str) -> set[str]:
    """Return the names that a cell reads anywhere, in its functions and comprehensions too."""
    nodes = ast.walk(compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
