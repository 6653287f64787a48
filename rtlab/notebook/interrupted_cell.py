"""Makes an interrupted cell say what to do, in place of a traceback.

While a cell awaits, an interrupt makes the kernel cancel it (`CancelledError`); while it computes or
draws, `KeyboardInterrupt` is raised in whatever library is running.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from typing import Any, Final

__all__ = ["install"]

_WORDS: Final = (
    "the cell was interrupted, or what it awaited was cancelled. What it was to make is missing, or of an "
    "earlier run: run it again before the cells below it."
)


def install() -> None:
    """Make this kernel print the advice in place of the traceback; does nothing outside IPython."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return
    shell: Any = get_ipython()
    if shell is not None:
        shell.set_custom_exc((asyncio.CancelledError, KeyboardInterrupt), _say)


def _say(
    shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None
) -> None:
    """Handle the exception for IPython, which passes the last argument by name."""
    # The error's own message does not help: at most it names internal scopes and tasks of a library.
    shell._showtraceback(kind, kind(_WORDS), [f"{kind.__name__}: {_WORDS}"])
