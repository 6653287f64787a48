"""Waiting for a run's end that the reader may bring forward with Stop."""

from __future__ import annotations

import asyncio

__all__ = ["Stoppable", "wait_until_stopped"]


async def wait_until_stopped(
    stopped: asyncio.Event, seconds: float, work: asyncio.Future[None] | None = None
) -> bool:
    """Wait until Stop is pressed, but no longer than so many seconds, nor beyond the work's end.

    Parameters
    ----------
    stopped : asyncio.Event
        Set by Stop.
    seconds : float
        How long at most.
    work : asyncio.Future, optional
        What runs meanwhile; what it raised is raised here.

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
        """Wait, but not beyond the reader's patience.

        Parameters
        ----------
        seconds : float
            How long at most.

        Returns
        -------
        bool
            True when Stop was pressed.
        """
        return await wait_until_stopped(self.stopped, seconds)
