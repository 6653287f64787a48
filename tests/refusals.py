"""What a measurement's refusal of a busy machine excuses in the cells after it, and nothing more."""

from __future__ import annotations

import re
from typing import Final

from rtlab.notebook.missing_names import names_made

__all__ = ["Refusals"]

_BUSY: Final = "MachineBusy"
_MISSING: Final = re.compile(r"name '(\w+)' is not defined")


class Refusals:
    """Told of each cell in the order in which they ran, it knows which names a refusal left unmade."""

    def __init__(self) -> None:
        self._unmade: set[str] = set()

    def excuse(self, source: str, error: str, message: str) -> bool:
        """Say whether a cell ended as it did because the machine was busy.

        That is where the measurement itself refused, or where a name is missing that a refused cell,
        or one that failed for want of its names, would have made.
        """
        missing = _MISSING.match(message) if error == "NameError" else None
        excused = error == _BUSY or (missing is not None and missing[1] in self._unmade)
        if excused:
            self._unmade |= names_made(source)
        elif not error:
            self._unmade -= names_made(source)
        return excused
