"""Makes an interrupted cell end at once, and say what to do, in place of a traceback.

While a cell awaits, an interrupt makes the kernel cancel it (`CancelledError`); while it computes or
draws, `KeyboardInterrupt` is raised in whatever library is running.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any, Final

__all__ = ["install"]

_WORDS: Final = (
    "the cell was interrupted, or what it awaited was cancelled. What it was to make is missing, or of an "
    "earlier run: run it again before the cells below it."
)


def install() -> None:
    """Make this kernel obey an interrupt at once, and print the advice; does nothing outside IPython."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return
    shell: Any = get_ipython()
    if shell is not None:
        shell.set_custom_exc((asyncio.CancelledError, KeyboardInterrupt), _say)
        shell.events.register("pre_run_cell", _wake_by_signals)


def _wake_by_signals(_info: object) -> None:
    """Let any signal wake the kernel's event loop: called before each cell, when the loop runs.

    ipykernel cancels the cell by a callback that its handler of SIGINT only queues: a loop that waits for
    a timer or a thread would call it when that wait is over (ipykernel issue 881). With a handler of its
    own for any signal, asyncio has every signal's number written into the pipe that wakes it.
    """
    with contextlib.suppress(AttributeError, NotImplementedError, RuntimeError):  # Windows; no loop runs
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, _nothing)


def _nothing() -> None:
    """Handle a signal that means nothing to a kernel."""


def _say(
    shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None
) -> None:
    """Handle the exception for IPython, which passes the last argument by name."""
    # The error's own message does not help: at most it names internal scopes and tasks of a library.
    shell._showtraceback(kind, kind(_WORDS), [f"{kind.__name__}: {_WORDS}"])
