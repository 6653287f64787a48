"""How long dead peers go unnoticed, measured on real connections.

A fault silences the path at one moment. Because each connection was opened at a random moment, the fault
falls at a random phase of its heartbeat cycle. `rtlab.models.detection_time_distribution` predicts the
distribution of the detection times, and `rtlab.measure.statistics.ks_distance` says how far the
measured ones deviate.
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
from rtlab.processes.owned_tasks import together

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["detection_times"]

#: Connections that are opened at the same time; with more of them, all handshakes would be slow.
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
    """Open connections at random moments, silence all at the same moment, and wait until each notices.

    Parameters
    ----------
    connections : sequence of Connection
        Connections that are not open yet, with a heartbeat and ``max_reconnect_attempts=0``, because a
        reconnect over the silent path would delay the others. They are closed afterwards.
    silence : callable
        Coroutine function that silences the path, such as ``lab.faults.blackhole``; called once.
    spread : float
        Seconds over which the connections open: a multiple of the heartbeat interval, so that their
        phases are uniform.
    settle : float
        Seconds between the last opening and the fault: more than one interval, because the server's first
        heartbeat comes early.
    timeout : float
        Seconds to wait for the slowest detection.
    seed : int
        Seed of the random opening moments.

    Returns
    -------
    array of float, shape (len(connections),)
        Seconds from the fault to each ``disconnected`` event; ``inf`` if none came in time.

    Raises
    ------
    ConnectFailed
        When a connection cannot be opened.
    LabError
        When a connection was lost before the fault, for instance by a false alarm of its heartbeat; the
        message gives the reason.
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
        silent_at = (began + time.monotonic()) / 2  # halfway between call and answer
        try:
            async with asyncio.timeout(timeout):
                await settled.wait()
        except TimeoutError:
            pass  # connections that noticed nothing are reported as inf
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
