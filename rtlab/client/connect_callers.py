"""All who wait in `connect` for one outcome: each is woken by it, and the last who gives up ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rtlab.errors import ConnectFailed

__all__ = ["ConnectCallers"]


class ConnectCallers:
    """Those who have asked for one connection."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Count from 0: those who asked for a former connection have no say in the next."""
        self._count = 0

    async def wait(self, begin: Callable[[], None], give_up: Callable[[], Awaitable[None]]) -> None:
        """Return when the connection is open.

        Parameters
        ----------
        begin : callable
            Called once this caller is registered.
        give_up : callable
            Awaited when this caller is cancelled, and was the last who waited.

        Raises
        ------
        ConnectFailed
            As given to `fail`.
        """
        self._count += 1
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            begin()
            await waiter
        except asyncio.CancelledError:
            self._count -= 1
            if self._count == 0:
                await give_up()
            raise
        finally:
            self._waiting.discard(waiter)

    def succeed(self) -> None:
        """Wake all: the connection is open."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, reason: str, cause: BaseException | None, retries: int) -> None:
        """Let each raise `ConnectFailed`.

        Parameters
        ----------
        reason : str
            Why no further attempt is made.
        cause : BaseException or None
            What ended the last attempt; a `ConnectFailed` hands on what it knows.
        retries : int
            Attempts that were made before it.
        """
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(_failure(reason, cause, retries))

    def forget(self) -> None:
        """Drop what belongs to an event loop that is closed."""
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
