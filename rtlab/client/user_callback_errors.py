"""Calls functions that the user gave; what one raises is reported, and keeps nobody else from its turn.

`Emitter` has the same rule for event handlers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast

__all__ = ["call", "check_callback", "refuse_coroutine"]

T = TypeVar("T")

_HINT: Final = "start a task in a plain function (asyncio.create_task)"


def check_callback(callback: object, name: str, hint: str = _HINT) -> None:
    """Raise `TypeError` unless an object can be called, and its result need not be awaited.

    Parameters
    ----------
    callback : object
        What the user gave.
    name : str
        What the error text calls it.
    hint : str
        What to do in place of a coroutine function.

    Examples
    --------
    >>> check_callback(8000, "on_open")
    Traceback (most recent call last):
    ...
    TypeError: expected on_open to be a function, got 8000
    """
    if not callable(callback):
        raise TypeError(f"expected {name} to be a function, got {callback!r:.80}")
    if inspect.iscoroutinefunction(callback):
        raise TypeError(
            f"{name} is called and not awaited, got the coroutine function {callback!r:.80}: {hint}"
        )


def refuse_coroutine(result: object, name: str, hint: str = _HINT) -> None:
    """Raise `TypeError` if a callback returned a coroutine: nobody would await it.

    Parameters
    ----------
    result : object
        What the callback returned.
    name, hint : str
        As for `check_callback`.
    """
    if isinstance(result, Coroutine):
        cast("Coroutine[Any, Any, Any]", result).close()
        raise TypeError(f"{name} returned a coroutine, which nobody awaits: {hint}")


def call(function: Callable[..., T], *arguments: object) -> tuple[T | None, BaseException | None]:
    """Call a function that the user gave, and return what it raised instead of raising it.

    Exceptions of every class are returned (``CancelledError`` too: the function is not awaited, so a
    cancellation of the caller's task cannot arise in it). Only ``KeyboardInterrupt`` and
    ``SystemExit`` propagate.

    Parameters
    ----------
    function : callable
        The user's function.
    *arguments : object
        Its arguments.

    Returns
    -------
    result : object or None
        What the function returned; None if it raised.
    error : BaseException or None
        What it raised; `TypeError` if it returned a coroutine. None if it returned anything else.

    Examples
    --------
    >>> call(divmod, 7, 2)
    ((3, 1), None)
    >>> call(divmod, 7, 0)
    (None, ZeroDivisionError('integer division or modulo by zero'))
    """
    try:
        result = function(*arguments)
        if result is not None:
            refuse_coroutine(result, getattr(function, "__name__", "a callback"))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return None, error
    return result, None
