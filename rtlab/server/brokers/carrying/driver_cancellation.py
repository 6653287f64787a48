"""Guards calls of a driver, because its client library may cancel pending futures on a lost connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator

from rtlab.server.brokers.carrying.carrier_interface import LinkLost

__all__ = ["driver_call"]


@contextlib.contextmanager
def driver_call() -> Generator[None]:
    """Turn a cancellation that nobody asked for into a lost link.

    A client library that closes its connection may cancel the futures that wait for answers (aiormq does).
    To the task that awaits them this looks like its own cancellation, so it would end silently.

    Raises
    ------
    LinkLost
        When the block ended with `asyncio.CancelledError`, and this task was not cancelled.

    Examples
    --------
    ::

        with driver_call():
            await driver.attach(attachment)
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LinkLost("the connection was closed before the answer") from error
