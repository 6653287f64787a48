"""A cell that is interrupted says what to do, with no traceback.

While it awaits, the kernel cancels it (`CancelledError`); while it computes or draws, a `KeyboardInterrupt`
comes out of whatever library is at work.
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
    """Have this kernel say it instead of the traceback; does nothing outside IPython."""
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
    """Be IPython's handler of this exception: the last argument goes by its name."""
    # What the error says itself is no help: a library's words of its scopes and tasks, if anything.
    shell._showtraceback(kind, kind(_WORDS), [f"{kind.__name__}: {_WORDS}"])
