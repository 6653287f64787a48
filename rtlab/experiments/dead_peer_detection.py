"""How long dead peers go unnoticed, measured on real connections.

A fault silences the path at one moment; each connection was opened at a random moment, so
the fault meets its heartbeat at a random place of the cycle. `rtlab.models.detection` computes what
the times should be, and `rtlab.measure.statistics.ks_distance` how far the measured ones are from it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rtlab.client.connection import Connection
from rtlab.errors import LabError
from rtlab.processes.tasks import together

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["detection_times"]

#: Connections that open at the same time; the rest waits, or all would be slow to answer.
_CONCURRENT_OPENS = 16


async def detection_times(
    connections: Sequence[Connection],
    silence: Callable[[], Awaitable[object]],
    *,
    spread: float,
    settle: float,
    timeout: float,
    seed: int = 1,
) -> NDArray[np.float64]:
    """Open connections at random moments, silence them all at one, and wait until each has noticed.

    Parameters
    ----------
    connections : sequence of Connection
        Not opened yet, with a heartbeat and ``max_reconnect_attempts=0``: an attempt through a
        silent path would keep the others waiting. They are closed afterwards.
    silence : callable
        Awaited once, silences the path: ``lab.faults.blackhole``.
    spread : float
        Seconds over which they open; a multiple of the heartbeat's interval, so that their
        phases are uniform.
    settle : float
        Seconds between the last opening and the fault, more than one interval: a server's first
        heartbeat comes earlier.
    timeout : float
        Seconds to wait for the slowest.
    seed : int
        Source of the opening moments.

    Returns
    -------
    array of float, shape (len(connections),)
        Seconds from the fault to the ``disconnected`` event; ``inf`` where none came.

    Raises
    ------
    ConnectFailed
        When one cannot open.
    LabError
        When one was lost before the fault, a false alarm of its heartbeat say: it tells why.
    """
    lost_at = np.full(len(connections), math.inf)
    left = len(connections)
    reasons: list[str] = []
    settled = asyncio.Event()

    def watch(index: int) -> Callable[[Any], None]:
        def lost(event: Any) -> None:
            nonlocal left
            lost_at[index] = event.at
            reasons.append(event.reason)
            left -= 1
            if not left:
                settled.set()

        return lost

    for index, connection in enumerate(connections):
        connection.once("disconnected", watch(index))
    try:
        await _open_all(connections, spread, np.random.default_rng(seed))
        await asyncio.sleep(settle)
        if left < len(connections):
            raise LabError(
                f"expected {len(connections)} connections to live until the fault, got {left}: the first "
                f"was lost because of {reasons[0]!r}; a heartbeat that is too strict needs a longer timeout"
            )
        began = time.monotonic()
        await silence()
        silent_at = (began + time.monotonic()) / 2  # the middle of call and answer
        try:
            async with asyncio.timeout(timeout):
                await settled.wait()
        except TimeoutError:
            pass  # they are reported as inf
        return lost_at - silent_at
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))


async def _open_all(connections: Sequence[Connection], spread: float, rng: np.random.Generator) -> None:
    few = asyncio.Semaphore(_CONCURRENT_OPENS)

    async def open_one(connection: Connection, delay: float) -> None:
        await asyncio.sleep(delay)
        async with few:
            await connection.connect()

    delays: list[float] = rng.uniform(0, spread, len(connections)).tolist()
    await together(*map(open_one, connections, delays))
