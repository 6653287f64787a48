"""Waits for the end of a run, which the reader may end early with Stop."""

from __future__ import annotations

import asyncio

__all__ = ["Stoppable", "wait_until_stopped"]


async def wait_until_stopped(
    stopped: asyncio.Event, seconds: float, work: asyncio.Future[None] | None = None
) -> bool:
    """Wait until Stop is pressed, the time is over, or the work has ended.

    Parameters
    ----------
    stopped : asyncio.Event
        The event that Stop sets.
    seconds : float
        Seconds to wait at most.
    work : asyncio.Future, optional
        Work that runs meanwhile; its exception is raised here. None: no work.

    Returns
    -------
    bool
        True when Stop was pressed.
    """
    pressed = asyncio.create_task(stopped.wait())
    try:
        awaited = {pressed} if work is None else {pressed, work}
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if work is not None and work.done():
            work.result()
    finally:
        pressed.cancel()
    return stopped.is_set()


class Stoppable:
    """A widget with a Stop button, which sets `stopped`.

    Attributes
    ----------
    stopped : asyncio.Event
        Set when the reader presses Stop.
    """

    stopped: asyncio.Event

    async def wait(self, seconds: float) -> bool:
        """Wait until the time is over or the reader presses Stop.

        Parameters
        ----------
        seconds : float
            Seconds to wait at most.

        Returns
        -------
        bool
            True when Stop was pressed.
        """
        return await wait_until_stopped(self.stopped, seconds)
