"""A fault that can be awaited, or held for the length of a block."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from rtlab.faults.errors import FaultError

__all__ = ["Fault"]

#: Seconds for a request under way when its caller is cancelled: the proxy is on this machine.
PATIENCE: Final = 1.0


class Fault:
    """A fault to come: ``await`` it, or use it in ``async with`` to have it undone.

    Parameters
    ----------
    words : str
        What it is, for people.
    begin, end : callable
        What to do, and how to undo it.
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
        """Undo it; once is enough."""
        if self.active:
            self.active = False
            await _to_its_end(self._end)

    async def __aenter__(self) -> Fault:
        try:
            return await self._apply()
        except BaseException:
            # An interrupt or a timeout, and the request may have arrived all the same.
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
    """Do what should not stop half-way: who is cancelled meanwhile is told when it is done.

    A request whose caller goes away may arrive later than the next one, or not at all.
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
