"""Timeouts that say what did not happen: asyncio's own `TimeoutError` has no message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

__all__ = ["within"]


@asynccontextmanager
async def within(seconds: float | None, complaint: Callable[[], str]) -> AsyncGenerator[None]:
    """Run a ``with`` block for at most so many seconds.

    Parameters
    ----------
    seconds : float or None
        The timeout; None for no limit.
    complaint : callable
        Returns what did not happen and what to do; called only after a timeout.

    Raises
    ------
    TimeoutError
        The block took longer.

    Examples
    --------
    >>> async def wait() -> None:
    ...     async with within(0.01, lambda: "nobody came: call again"):
    ...         await asyncio.sleep(60)
    >>> asyncio.run(wait())
    Traceback (most recent call last):
    TimeoutError: after 0.01 s: nobody came: call again
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"after {seconds:g} s: {complaint()}") from error
