"""The callers that wait in `connect` for one outcome, which wakes them all.

When the last of them is cancelled, the attempt to connect ends too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rtlab.errors import ConnectFailed

__all__ = ["ConnectCallers"]


class ConnectCallers:
    """The callers that wait for one connection to open."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._count = 0
        self._life = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Count callers from 0 again, for the next life of the connection.

        Callers of a former life, who may resume after this, neither keep the next one alive nor end it.
        """
        self._life += 1
        self._count = 0

    async def wait(self, begin: Callable[[], None], give_up: Callable[[], Awaitable[None]]) -> None:
        """Return when the connection is open.

        Parameters
        ----------
        begin : callable
            Called, without arguments, once this caller is registered; starts the attempt if none runs.
        give_up : callable
            Called and awaited when this caller is cancelled and no other caller of the same life is left.

        Raises
        ------
        ConnectFailed
            `fail` was called; it builds the error.
        """
        life = self._life
        self._count += 1
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            begin()
            await waiter
        except asyncio.CancelledError:
            if life == self._life:
                self._count -= 1
                if self._count == 0:
                    await give_up()
            raise
        finally:
            self._waiting.discard(waiter)

    def succeed(self) -> None:
        """Let every `wait` return: the connection is open."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, reason: str, cause: BaseException | None, retries: int) -> None:
        """Let every `wait` raise `ConnectFailed`.

        Parameters
        ----------
        reason : str
            Why no further attempt is made.
        cause : BaseException or None
            What ended the last attempt. From a `ConnectFailed`, its status, hint and code are copied.
        retries : int
            How many attempts were made before the last one.
        """
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(_failure(reason, cause, retries))

    def forget(self) -> None:
        """Drop the waiting callers: their event loop is closed, so they cannot be woken."""
        self._waiting.clear()


def _failure(reason: str, cause: BaseException | None, retries: int) -> ConnectFailed:
    known = cause if isinstance(cause, ConnectFailed) else ConnectFailed(reason)
    error = ConnectFailed(
        reason,
        retryable=known.retryable,
        status=known.status,
        retry_after=known.retry_after,
        attempts=retries + min(1, known.attempts),
        code=known.code,
    )
    error.__cause__ = known.__cause__ or cause
    return error
