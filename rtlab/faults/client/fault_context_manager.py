"""A fault that is applied by ``await``, or for the duration of an ``async with`` block."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from rtlab.faults.errors import FaultError

__all__ = ["Fault"]

#: Seconds that a request in flight may still take after its caller was cancelled: the proxy is local.
PATIENCE: Final = 1.0


class Fault:
    """A fault, not active yet: ``await`` applies it, ``async with`` also undoes it after the block.

    Parameters
    ----------
    words : str
        Description for people.
    begin, end : callable
        Coroutine functions that apply the fault, and undo it.
    """

    def __init__(
        self, words: str, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]
    ) -> None:
        self.words = words
        self.active = False
        self._begin = begin
        self._end = end

    def __await__(self) -> Generator[Any, None, Fault]:
        return self._apply().__await__()

    async def _apply(self) -> Fault:
        await _to_its_end(self._begin)
        self.active = True
        return self

    async def remove(self) -> None:
        """Undo the fault. Safe to repeat."""
        if self.active:
            self.active = False
            await _to_its_end(self._end)

    async def __aenter__(self) -> Fault:
        try:
            return await self._apply()
        except BaseException:
            # After an interrupt or a timeout, the proxy may have received the request all the same.
            with suppress(FaultError):
                await _to_its_end(self._end)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.remove()

    def __repr__(self) -> str:
        state = "active" if self.active else "not active: `await` it, or use `async with`"
        return f"<fault {self.words}: {state}>"


async def _to_its_end(step: Callable[[], Awaitable[None]]) -> None:
    """Run a step to its end even if the caller is cancelled, and only then raise the cancellation.

    Otherwise a request whose caller goes away might arrive after the next request, or not at all.
    """

    async def carry_out() -> None:
        await step()

    task = asyncio.create_task(carry_out())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=PATIENCE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
