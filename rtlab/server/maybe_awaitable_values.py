"""Values that are available now or later (`Later`), and actions that run in order (`InOrder`).

Functions that return `Later` are plain functions: a value that is available now costs neither a
task nor a turn of the loop. Only a value that comes later is a future.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

__all__ = ["InOrder", "Later", "forward", "settled", "then"]

T = TypeVar("T")
U = TypeVar("U")

#: A value, or a future of the value.
Later = T | asyncio.Future[T]


@overload
def then(
    value: asyncio.Future[T], use: Callable[[T], U], failed: Callable[[BaseException], U]
) -> asyncio.Future[U]: ...


@overload
def then(value: Later[T], use: Callable[[T], U], failed: Callable[[BaseException], U]) -> Later[U]: ...


def then(value: Later[T], use: Callable[[T], U], failed: Callable[[BaseException], U]) -> Later[U]:
    """Apply a function to a value, now or when the value comes.

    Parameters
    ----------
    value : T or Future of T
        The value. What fails at once raises, so `failed` is called for futures only.
    use : callable
        Gets the value, and returns the result.
    failed : callable
        Gets a future's exception, and returns the result or raises.

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
    """Wait for a value; if the wait is cancelled, the future is not.

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
    """Does one action after the other: the next begins when the one before has its result.

    As long as every action has its result at once, `run` is a plain call.

    Attributes
    ----------
    held : Future or None
        The result that the next action waits for; None if an action can begin at once.
    """

    __slots__ = ("_waiting", "held")

    def __init__(self) -> None:
        self.held: asyncio.Future[Any] | None = None
        # Created when an action has to wait: an empty deque takes 0.7 kB, and each session would have some.
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] | None = None

    @property
    def waiting(self) -> int:
        """How many actions have no result yet, the running one included."""
        return len(self._waiting or ()) + (self.held is not None)

    def run(self, action: Callable[[], Later[T]]) -> Later[T]:
        """Do an action, now or when its turn comes.

        Parameters
        ----------
        action : callable
            Returns its result, or a future of the result. The future must finish some time.

        Returns
        -------
        T or Future of T
            The action's result. Cancelling this future does not change the order.
        """
        if self.held is not None:
            return self.add(action)
        answer = action()
        if isinstance(answer, asyncio.Future):
            return self.hold(cast("asyncio.Future[T]", answer))
        return answer

    def hold(self, first: asyncio.Future[T]) -> asyncio.Future[T]:
        """Let further actions wait for the result of one that the caller has begun while `held` was None.

        Parameters
        ----------
        first : Future of T
            What the action has returned.

        Returns
        -------
        Future of T
            As from `run`.
        """
        self._hold(first)
        outer: asyncio.Future[T] = first.get_loop().create_future()
        first.add_done_callback(lambda _: _pass_on(first, outer))
        return outer

    def add(self, action: Callable[[], Later[T]]) -> asyncio.Future[T]:
        """Do an action when its turn comes, while `held` is not None; as from `run`."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((action, result))
        return result

    def _hold(self, future: asyncio.Future[Any]) -> None:
        self.held = future
        future.add_done_callback(self._next)

    def _next(self, _: object) -> None:
        self.held = None
        while self._waiting and self.held is None:
            action, result = self._waiting.popleft()
            later = forward(action, result)
            if later is not None:
                self._hold(later)
        if not self._waiting:
            self._waiting = None


def forward(action: Callable[[], Later[T]], result: asyncio.Future[T]) -> asyncio.Future[T] | None:
    """Do an action, and copy its result or its exception to a future, now or when it comes.

    Parameters
    ----------
    action : callable
        Returns its result, or a future of the result.
    result : Future of T
        Gets the result, unless it was cancelled meanwhile.

    Returns
    -------
    Future of T or None
        The future that the action returned; None if it had its result at once.
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
            done.exception()  # retrieved, so that asyncio does not log it: the caller has gone
    elif done.cancelled():
        to.cancel()
    elif (error := done.exception()) is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())
