"""Values that are there at once, or come later; and actions that keep their order meanwhile.

What is answered at once costs no task and no turn of the loop: functions that return
`Later` are plain functions. Only an answer that comes later is a future.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["InOrder", "Later", "forward", "settled", "then"]

T = TypeVar("T")
U = TypeVar("U")

#: A value, or the future that will have it.
Later = T | asyncio.Future[T]


def then(value: Later[T], use: Callable[[T], U], failed: Callable[[BaseException], U]) -> Later[U]:
    """Use a value now, or when it comes.

    Parameters
    ----------
    value : T or Future of T
        The value. Failing at once is raising, so only a future's failure goes to `failed`.
    use : callable
        Makes the result of the value.
    failed : callable
        Makes the result of a future's exception, or raises.

    Returns
    -------
    U or Future of U

    Examples
    --------
    >>> then(20, lambda n: n + 1, lambda error: 0)
    21
    """
    if not isinstance(value, asyncio.Future):
        return use(value)
    first = cast("asyncio.Future[T]", value)
    result: asyncio.Future[U] = first.get_loop().create_future()

    def come(_: object) -> None:
        try:
            if first.cancelled():
                made = failed(asyncio.CancelledError("the one who should answer gave up"))
            elif (error := first.exception()) is not None:
                made = failed(error)
            else:
                made = use(first.result())
        except Exception as error:
            if not result.done():
                result.set_exception(error)
        else:
            if not result.done():
                result.set_result(made)

    first.add_done_callback(come)
    return result


async def settled(value: Later[T]) -> T:
    """Wait for a value; whoever stops waiting does not cancel what makes it.

    Parameters
    ----------
    value : T or Future of T
        From a function that returns `Later`.

    Returns
    -------
    T
    """
    if isinstance(value, asyncio.Future):
        future = cast("asyncio.Future[T]", value)
        await asyncio.wait((future,))
        return future.result()
    return value


class InOrder:
    """Does one action after the other: the next begins when the one before has its answer.

    As long as every action answers at once, this is a call.
    """

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._held: asyncio.Future[Any] | None = None
        # Made when somebody waits: an empty one is 0.7 kB, and each session has some.
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] | None = None

    @property
    def waiting(self) -> int:
        """How many actions have no answer yet, the one under way included."""
        return len(self._waiting or ()) + (self._held is not None)

    def run(self, action: Callable[[], Later[T]]) -> Later[T]:
        """Do an action, now or when its turn comes.

        Parameters
        ----------
        action : callable
            Returns its answer, or the future of it. The future must come to an end.

        Returns
        -------
        T or Future of T
            What the action returned. It may be cancelled without harm to the order.
        """
        if self._held is None:
            answer = action()
            if not isinstance(answer, asyncio.Future):
                return answer
            first = cast("asyncio.Future[T]", answer)
            self._hold(first)
            outer: asyncio.Future[T] = first.get_loop().create_future()
            first.add_done_callback(lambda _: _pass_on(first, outer))
            return outer
        result: asyncio.Future[T] = self._held.get_loop().create_future()
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((action, result))
        return result

    def _hold(self, future: asyncio.Future[Any]) -> None:
        self._held = future
        future.add_done_callback(self._next)

    def _next(self, _: object) -> None:
        self._held = None
        while self._waiting and self._held is None:
            action, result = self._waiting.popleft()
            later = forward(action, result)
            if later is not None:
                self._hold(later)
        if not self._waiting:
            self._waiting = None


def forward(action: Callable[[], Later[T]], result: asyncio.Future[T]) -> asyncio.Future[T] | None:
    """Do an action, and give its answer or its exception to a future, now or when it comes.

    Parameters
    ----------
    action : callable
        Returns its answer, or the future of it.
    result : Future of T
        Gets the answer; one that was cancelled meanwhile is left alone.

    Returns
    -------
    Future of T or None
        What the action still waits for.
    """
    try:
        answer = action()
    except Exception as error:
        if not result.done():
            result.set_exception(error)
        return None
    if isinstance(answer, asyncio.Future):
        future = cast("asyncio.Future[T]", answer)
        future.add_done_callback(lambda done: _pass_on(done, result))
        return future
    if not result.done():
        result.set_result(answer)
    return None


def _pass_on(done: asyncio.Future[Any], to: asyncio.Future[Any]) -> None:
    if to.done():
        if not done.cancelled():
            done.exception()  # retrieved: the one who asked has gone
    elif done.cancelled():
        to.cancel()
    elif (error := done.exception()) is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())
