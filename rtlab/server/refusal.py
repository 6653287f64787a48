"""A message that was read and cannot be obeyed, and what the client is told of it."""

from __future__ import annotations

from typing import Any

__all__ = ["Refused", "Result"]

#: What became of one message: ``{"ok": True, "id": …, …}`` or ``{"ok": False, "id": …, "error": …}``.
Result = dict[str, Any]


class Refused(Exception):
    """A message that was read, and cannot be obeyed.

    Parameters
    ----------
    code : str
        A stable word for programs.
    text : str
        What was expected, what came, what to do.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
